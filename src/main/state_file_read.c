/* SPDX-License-Identifier: MIT */
/* The load; what it reads: main/state_file.h. */
#include "config.h"

#include "main/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/mem.h"
#include "base/pack.h"
#include "main/state_format.h"
#include "model/server.h"

struct reader {
	int fd;
	uint64_t left; /* bytes of the file not read yet, without the hash */
	EVP_MD_CTX *hash;
	unsigned char *room; /* (own) */
	struct unpack in;
	bool is_applied; /* the second time */
	int64_t away_ms;
	const struct state_found *on;
	struct state_result *result;
	uint64_t entries; /* met, for the last record */
	uint32_t keys_n;

	struct table *table; /* NULL = none of ours */
	struct backend_state *backend;
	bool is_counted;                     /* its entries are live sessions */
	bool is_begun;                       /* a table was named */
	struct server *servers[SERVERS_MAX]; /* of the table's part; NULL = none of ours */
	uint32_t servers_n;
};

static int read_some(struct reader *reader, void *to, size_t n)
{
	unsigned char *at = to;

	while (n) {
		ssize_t done = read(reader->fd, at, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return state_fail(reader->result, -errno, "it cannot be read: %s",
					  strerror(errno));
		if (done == 0)
			return state_fail(reader->result, -EPROTO, "it became shorter meanwhile");
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

/* A whole record is there, if the file has one. */
static int fill(struct reader *reader)
{
	size_t n;
	int rc;

	if (reader->in.left >= STATE_RECORD_MAX || !reader->left)
		return 0;
	if (reader->in.left)
		memmove(reader->room, reader->in.p, reader->in.left);
	reader->in.p = reader->room;
	n = STATE_ROOM - reader->in.left;
	n = reader->left < n ? (size_t)reader->left : n;
	rc = read_some(reader, reader->room + reader->in.left, n);
	if (rc != 0)
		return rc;
	if (EVP_DigestUpdate(reader->hash, reader->room + reader->in.left, n) != 1)
		return state_fail(reader->result, -ENOMEM, "its hash cannot be made");
	reader->in.left += n;
	reader->left -= n;
	return 0;
}

static void find_table(struct reader *reader, struct str name)
{
	reader->table = NULL;
	reader->is_begun = true;
	reader->servers_n = 0;
	for (struct backend_state *at = backend_state_first(); at; at = at->next)
		for (int kind = 0; kind < STICK_N; kind++) {
			if (!at->tables[kind] ||
			    !str_eq(str_of(table_name(at->tables[kind])), name))
				continue;
			reader->table = at->tables[kind];
			reader->backend = at;
			reader->is_counted = kind == STICK_ENGINEIO;
		}
}

/* Only one that is configured: what is not there would be asked for in vain. */
static struct server *find_server(const struct reader *reader, struct str name)
{
	struct srvset *set = reader->table ? srvset_of(reader->backend) : NULL;

	for (uint32_t i = 0; set && i < set->members_n; i++)
		if (str_eq(str_of(set->members[i].server->name), name))
			return set->members[i].server;
	return NULL;
}

static void read_server(struct reader *reader)
{
	struct str name = unpack_str(&reader->in);

	if (!reader->is_begun || !name.len || reader->servers_n == SERVERS_MAX)
		reader->in.is_bad = true;
	if (!reader->in.is_bad)
		reader->servers[reader->servers_n++] =
			reader->is_applied ? find_server(reader, name) : NULL;
}

/* As stick_learn_sid(): a session is counted before its entry stands. */
static void restore(struct reader *reader, struct server *server, struct str bytes,
		    struct table_value *value, bool is_current)
{
	struct table_key key = table_key_kept(reader->table, bytes);
	bool is_counted = reader->is_counted && is_current;

	value->server = server->number;
	value->generation = atomic_load(&server->generation) - !is_current;
	if (is_counted)
		atomic_fetch_add(&server->sessions, 1);
	if (table_restore(reader->table, &key, value))
		reader->result->entries++;
	else if (is_counted)
		atomic_fetch_sub(&server->sessions, 1);
}

static void read_entry(struct reader *reader)
{
	uint32_t number = unpack_u16(&reader->in);
	uint8_t flags = unpack_u8(&reader->in);
	uint8_t size = unpack_u8(&reader->in);
	struct str bytes = { (const char *)reader->in.p, size };
	struct table_value value;
	char copy[UINT8_MAX];

	unpack_bytes(&reader->in, copy, size);
	value = (struct table_value){ .idle_ms = unpack_u32(&reader->in) };
	value.expires_in_ms = unpack_u32(&reader->in);
	if (!bytes.len || bytes.len > TABLE_KEY_SIZE || number >= reader->servers_n ||
	    !value.idle_ms || value.idle_ms > TABLE_IDLE_MAX_MS || !value.expires_in_ms ||
	    value.expires_in_ms > value.idle_ms)
		reader->in.is_bad = true;
	reader->entries++;
	if (reader->in.is_bad || !reader->is_applied)
		return;
	value.expires_in_ms -= reader->away_ms;
	if (!reader->table || !reader->servers[number])
		reader->result->skipped++;
	else if (value.expires_in_ms <= 0)
		reader->result->expired++;
	else
		restore(reader, reader->servers[number], bytes, &value, flags & STATE_IS_CURRENT);
}

static void read_key(struct reader *reader)
{
	struct siphash_key key = { unpack_u64(&reader->in), 0 };

	key.k1 = unpack_u64(&reader->in);
	if (!reader->in.is_bad && reader->is_applied && reader->on->key)
		reader->on->key(&key, reader->keys_n);
	reader->keys_n++;
}

static void read_secret(struct reader *reader)
{
	struct state_secret secret = { .backend = unpack_str(&reader->in) };

	secret.text = unpack_str(&reader->in);
	if (!secret.text.len)
		reader->in.is_bad = true;
	if (!reader->in.is_bad && reader->is_applied && reader->on->secret)
		reader->on->secret(&secret);
}

/* False: it was the last one. */
static bool read_record(struct reader *reader)
{
	switch (unpack_u8(&reader->in)) {
	case STATE_RECORD_KEY:
		read_key(reader);
		return true;
	case STATE_RECORD_SECRET:
		read_secret(reader);
		return true;
	case STATE_RECORD_TABLE:
		find_table(reader, unpack_str(&reader->in));
		return true;
	case STATE_RECORD_SERVER:
		read_server(reader);
		return true;
	case STATE_RECORD_ENTRY:
		read_entry(reader);
		return true;
	case STATE_RECORD_END:
		if (unpack_u64(&reader->in) != reader->entries || reader->in.left || reader->left)
			reader->in.is_bad = true;
		return false;
	default:
		reader->in.is_bad = true;
		return true;
	}
}

static int read_head(struct reader *reader, int64_t now_unix_ms)
{
	char magic[sizeof(STATE_MAGIC) - 1];
	unsigned version;
	int64_t saved_ms;

	unpack_bytes(&reader->in, magic, sizeof(magic));
	version = unpack_u16(&reader->in);
	saved_ms = (int64_t)unpack_u64(&reader->in);
	if (reader->in.is_bad || memcmp(magic, STATE_MAGIC, sizeof(magic)) != 0)
		return state_fail(reader->result, -EPROTO, "it is not a state file of limpet");
	if (version != STATE_VERSION)
		return state_fail(reader->result, -EPROTO,
				  "it has version %u, this limpet reads version %u", version,
				  STATE_VERSION);
	reader->away_ms = saved_ms >= 0 && now_unix_ms > saved_ms ? now_unix_ms - saved_ms : 0;
	reader->result->age_ms = reader->away_ms;
	return 0;
}

static int compare_hash(struct reader *reader)
{
	unsigned char have[EVP_MAX_MD_SIZE], want[STATE_HASH_SIZE];
	int rc = read_some(reader, want, sizeof(want));

	if (rc != 0)
		return rc;
	if (EVP_DigestFinal_ex(reader->hash, have, NULL) != 1)
		return state_fail(reader->result, -ENOMEM, "its hash cannot be made");
	if (memcmp(have, want, sizeof(want)) != 0)
		return state_fail(reader->result, -EPROTO,
				  "its hash is wrong: it was cut off or changed");
	return 0;
}

/* The hash is compared even of what is malformed: "cut off" says more. */
static int read_once(struct reader *reader, uint64_t size_bytes, int64_t now_unix_ms)
{
	bool has_more = true;
	int rc;

	reader->left = size_bytes - STATE_HASH_SIZE;
	reader->in = (struct unpack){ reader->room, 0, false };
	reader->is_begun = false;
	reader->table = NULL;
	reader->servers_n = 0;
	reader->entries = 0;
	reader->keys_n = 0;
	if (lseek(reader->fd, 0, SEEK_SET) < 0 ||
	    EVP_DigestInit_ex(reader->hash, EVP_sha256(), NULL) != 1)
		return state_fail(reader->result, -EIO, "it cannot be read");
	rc = fill(reader);
	if (rc == 0)
		rc = read_head(reader, now_unix_ms);
	while (rc == 0 && has_more && !reader->in.is_bad) {
		rc = fill(reader);
		if (rc == 0)
			has_more = read_record(reader);
	}
	while (rc == 0 && reader->left) {
		reader->in.left = 0;
		rc = fill(reader);
	}
	if (rc == 0)
		rc = compare_hash(reader);
	if (rc == 0 && reader->in.is_bad)
		rc = state_fail(reader->result, -EPROTO, "it is malformed");
	return rc;
}

int state_file_read_fd(int fd, int64_t now_unix_ms, const struct state_found *on,
		       struct state_result *result)
{
	struct reader *reader;
	struct stat stat;
	int rc;

	*result = (struct state_result){ 0 };
	if (fstat(fd, &stat) != 0)
		return state_fail(result, -errno, "it cannot be looked at: %s", strerror(errno));
	if (!S_ISREG(stat.st_mode))
		return state_fail(result, -EPERM, "it is not a regular file");
	if (stat.st_uid != geteuid() && stat.st_uid != 0)
		return state_fail(result, -EPERM,
				  "it belongs to user %u, not to %u who runs limpet", stat.st_uid,
				  geteuid());
	if (stat.st_mode & (S_IWGRP | S_IWOTH))
		return state_fail(result, -EPERM, "others may write it (mode %03o)",
				  stat.st_mode & 0777);
	if (stat.st_size < (off_t)(STATE_HEAD_SIZE + STATE_HASH_SIZE))
		return state_fail(result, -EPROTO, "it is too short to be a state file");
	reader = xcalloc(1, sizeof(*reader));
	reader->fd = fd;
	reader->on = on;
	reader->result = result;
	reader->room = xmalloc(STATE_ROOM);
	reader->hash = EVP_MD_CTX_new();
	rc = reader->hash ? read_once(reader, (uint64_t)stat.st_size, now_unix_ms) : -ENOMEM;
	reader->is_applied = true;
	if (rc == 0)
		rc = read_once(reader, (uint64_t)stat.st_size, now_unix_ms);
	result->size_bytes = (uint64_t)stat.st_size;
	EVP_MD_CTX_free(reader->hash);
	free(reader->room);
	free(reader);
	return rc;
}

int state_file_read(const char *file, int64_t now_unix_ms, const struct state_found *on,
		    struct state_result *result)
{
	/* O_NONBLOCK: a FIFO would make the start wait. */
	int fd = open(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), rc;

	if (fd < 0) {
		*result = (struct state_result){ 0 };
		rc = -errno;
		return rc == -ELOOP
			       ? state_fail(result, rc, "it is a symbolic link")
			       : state_fail(result, rc, "it cannot be opened: %s", strerror(-rc));
	}
	rc = state_file_read_fd(fd, now_unix_ms, on, result);
	close(fd);
	return rc;
}

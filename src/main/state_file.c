/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "main/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/mem.h"
#include "base/pack.h"
#include "main/state_format.h"
#include "model/server.h"

#define PIECE   256u /* entries; table_each() may give as many again */
#define NOT_YET UINT32_MAX

int state_fail(struct state_result *result, int rc, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(result->why, sizeof(result->why), fmt, args);
	va_end(args);
	return rc;
}

void state_content_init(struct state_content *content, const struct state_secret *secrets,
			size_t secrets_n, int64_t now_unix_ms)
{
	*content = (struct state_content){ .secrets_n = secrets_n, .now_unix_ms = now_unix_ms };
	content->secrets = xcalloc(secrets_n, sizeof(*content->secrets));
	for (size_t i = 0; i < secrets_n; i++)
		content->secrets[i] = (struct state_secret){
			{ xstrndup(secrets[i].backend), secrets[i].backend.len },
			{ xstrndup(secrets[i].text), secrets[i].text.len },
		};
	for (struct backend_state *at = backend_state_first(); at; at = at->next)
		for (int kind = 0; kind < STICK_N; kind++) {
			if (!at->tables[kind])
				continue;
			content->tables = xrealloc_array(content->tables, content->tables_n + 1,
							 sizeof(*content->tables));
			content->tables[content->tables_n++] = at->tables[kind];
		}
}

void state_content_fini(struct state_content *content)
{
	for (size_t i = 0; i < content->secrets_n; i++) {
		free((void *)(uintptr_t)content->secrets[i].backend.p);
		free((void *)(uintptr_t)content->secrets[i].text.p);
	}
	free(content->secrets);
	free(content->tables);
}

struct writer {
	int fd, error; /* negative errno; nothing more is written then */
	EVP_MD_CTX *hash;
	struct pack out;
	uint64_t size_bytes, entries;
	uint32_t *numbers; /* (own) server's number -> number in the table's part, or NOT_YET */
	uint32_t numbers_n, next;
};

static void write_all(struct writer *writer, const unsigned char *bytes, size_t n)
{
	while (n && !writer->error) {
		ssize_t done = write(writer->fd, bytes, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0) {
			writer->error = -errno;
			return;
		}
		bytes += done;
		n -= (size_t)done;
		writer->size_bytes += (uint64_t)done;
	}
}

static void flush(struct writer *writer)
{
	if (!writer->error && EVP_DigestUpdate(writer->hash, writer->out.p, writer->out.n) != 1)
		writer->error = -ENOMEM;
	write_all(writer, writer->out.p, writer->out.n);
	writer->out.n = 0;
}

static void begin_record(struct writer *writer, unsigned kind)
{
	if (writer->out.size - writer->out.n < STATE_RECORD_MAX)
		flush(writer);
	pack_u8(&writer->out, (uint8_t)kind);
}

/* SERVER's number in this table's part; it is named there when it was not yet. */
static uint32_t number_of(struct writer *writer, const struct server *server)
{
	uint32_t *number;

	if (server->number >= writer->numbers_n) {
		uint32_t n = servers_n();

		writer->numbers = xrealloc_array(writer->numbers, n, sizeof(*writer->numbers));
		for (; writer->numbers_n < n; writer->numbers_n++)
			writer->numbers[writer->numbers_n] = NOT_YET;
	}
	number = &writer->numbers[server->number];
	if (*number == NOT_YET) {
		*number = writer->next++;
		begin_record(writer, STATE_RECORD_SERVER);
		pack_str(&writer->out, str_of(server->name));
	}
	return *number;
}

static void write_entry(void *arg, struct str key, const struct table_value *value)
{
	struct writer *writer = arg;
	const struct server *server = server_by_number(value->server);
	int64_t left_ms =
		value->expires_in_ms < value->idle_ms ? value->expires_in_ms : value->idle_ms;
	uint32_t number;
	bool is_current;

	if (!server || left_ms <= 0)
		return;
	is_current =
		!((atomic_load(&server->generation) ^ value->generation) & TABLE_GENERATION_MASK);
	number = number_of(writer, server);
	begin_record(writer, STATE_RECORD_ENTRY);
	pack_u16(&writer->out, (uint16_t)number);
	pack_u8(&writer->out, is_current ? STATE_IS_CURRENT : 0);
	pack_u8(&writer->out, (uint8_t)key.len);
	pack_bytes(&writer->out, key.p, key.len);
	pack_u32(&writer->out, value->idle_ms);
	pack_u32(&writer->out, (uint32_t)left_ms);
	writer->entries++;
}

static void write_table(struct writer *writer, struct table *table)
{
	uint64_t cursor = 0;

	begin_record(writer, STATE_RECORD_TABLE);
	pack_str(&writer->out, str_of(table_name(table)));
	writer->next = 0;
	for (uint32_t i = 0; i < writer->numbers_n; i++)
		writer->numbers[i] = NOT_YET;
	while (table_each(table, &cursor, PIECE, write_entry, writer) && !writer->error)
		;
}

static void write_key(struct writer *writer, const struct siphash_key *key)
{
	begin_record(writer, STATE_RECORD_KEY);
	pack_u64(&writer->out, key->k0);
	pack_u64(&writer->out, key->k1);
}

static void write_keys(struct writer *writer)
{
	struct siphash_key key;

	table_digest_current(&key);
	write_key(writer, &key);
	for (uint32_t i = 0; table_digest_former(i, &key); i++)
		write_key(writer, &key);
}

static void write_content(struct writer *writer, const struct state_content *content)
{
	unsigned char hash[EVP_MAX_MD_SIZE];

	pack_bytes(&writer->out, STATE_MAGIC, sizeof(STATE_MAGIC) - 1);
	pack_u16(&writer->out, STATE_VERSION);
	pack_u64(&writer->out, (uint64_t)content->now_unix_ms);
	write_keys(writer);
	for (size_t i = 0; i < content->secrets_n; i++) {
		begin_record(writer, STATE_RECORD_SECRET);
		pack_str(&writer->out, content->secrets[i].backend);
		pack_str(&writer->out, content->secrets[i].text);
	}
	for (size_t i = 0; i < content->tables_n && !writer->error; i++)
		write_table(writer, content->tables[i]);
	begin_record(writer, STATE_RECORD_END);
	pack_u64(&writer->out, writer->entries);
	flush(writer);
	if (!writer->error && EVP_DigestFinal_ex(writer->hash, hash, NULL) != 1)
		writer->error = -ENOMEM;
	write_all(writer, hash, STATE_HASH_SIZE);
	if (!writer->error && fsync(writer->fd) != 0)
		writer->error = -errno;
}

static int write_fd(int fd, const struct state_content *content, struct state_result *result)
{
	struct writer writer = { .fd = fd, .hash = EVP_MD_CTX_new() };

	writer.out = (struct pack){ xmalloc(STATE_ROOM), 0, STATE_ROOM, false };
	if (!writer.hash || EVP_DigestInit_ex(writer.hash, EVP_sha256(), NULL) != 1)
		writer.error = -ENOMEM;
	write_content(&writer, content);
	EVP_MD_CTX_free(writer.hash);
	free(writer.out.p);
	free(writer.numbers);
	result->entries = writer.entries;
	result->size_bytes = writer.size_bytes;
	return writer.error;
}

/* So that the new name is there after a power cut, too.  No harm where it cannot be. */
static void sync_directory(const char *file)
{
	const char *slash = strrchr(file, '/');
	char *name =
		slash ? xstrndup((struct str){ file, (size_t)(slash - file) + 1 }) : xstrdup(".");
	int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		(void)fsync(fd);
		close(fd);
	}
	free(name);
}

int state_file_write(const char *file, const struct state_content *content,
		     struct state_result *result)
{
	char *name = xasprintf("%s.new", file);
	int fd, rc;

	*result = (struct state_result){ 0 };
	(void)unlink(name); /* of a save that was cut off */
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) {
		rc = state_fail(result, -errno, "%s cannot be made: %s", name, strerror(errno));
		free(name);
		return rc;
	}
	rc = write_fd(fd, content, result);
	close(fd);
	if (rc != 0)
		state_fail(result, rc, "%s cannot be written: %s", name, strerror(-rc));
	else if (rename(name, file) != 0)
		rc = state_fail(result, -errno, "%s cannot be renamed: %s", name, strerror(errno));
	if (rc != 0)
		(void)unlink(name);
	else
		sync_directory(file);
	free(name);
	return rc;
}

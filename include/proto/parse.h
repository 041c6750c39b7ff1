/* SPDX-License-Identifier: MIT */
/* What every codec's parser answers.  *WHY of a PARSE_BAD is a named constant of the codec. */
#ifndef PROTO_PARSE_H
#define PROTO_PARSE_H

enum parse {
	PARSE_DONE, /* complete; the codec says how many bytes it took */
	PARSE_MORE, /* a correct beginning; call again with more bytes */
	PARSE_BAD,  /* cannot become correct */
};

#endif

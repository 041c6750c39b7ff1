/* SPDX-License-Identifier: MIT */
/* proxy_tlv - bytes of PROXY protocol version 2, shared by its reader and its writer alone. */
#ifndef PROTO_PROXY_TLV_H
#define PROTO_PROXY_TLV_H

#define V2_SIGNATURE      "\r\n\r\n\0\r\nQUIT\n"
#define V2_SIGNATURE_SIZE 12
#define V2_HEAD_SIZE      16 /* signature, version and command, family, length */

#define V2_LOCAL 0x20
#define V2_PROXY 0x21

#define V2_UNSPEC 0x00
#define V2_TCP4   0x11
#define V2_TCP6   0x21
#define V2_UNIX   0x31

#define TLV_HEAD_SIZE   3
#define TLV_ALPN        0x01
#define TLV_AUTHORITY   0x02
#define TLV_CRC32C      0x03
#define TLV_UNIQUE_ID   0x05
#define TLV_SSL         0x20
#define TLV_SSL_VERSION 0x21
#define TLV_SSL_CN      0x22
#define TLV_SSL_CIPHER  0x23
#define TLV_NETNS       0x30

#define SSL_HEAD_SIZE   5   /* client, verify */
#define UNIQUE_ID_MAX   128 /* by the specification */
#define TLV_TEXT_MAX    255 /* what we write of a name */
#define SSL_VERSION_MAX 32
#define SSL_CIPHER_MAX  64

#endif

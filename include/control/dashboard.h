/* SPDX-License-Identifier: MIT */
/*
 * dashboard - the page's text, made from src/control/dashboard/ at build time (embed.awk there).
 * Sent one after the other the parts are the document.
 */
#ifndef CONTROL_DASHBOARD_H
#define CONTROL_DASHBOARD_H

#include "base/str.h"

enum dashboard_part {
	DASHBOARD_HEAD,   /* up to <style> */
	DASHBOARD_STYLE,  /* the style alone */
	DASHBOARD_BODY,   /* </style> to <script> */
	DASHBOARD_SCRIPT, /* the script alone */
	DASHBOARD_TAIL,   /* </script> to the end */
	DASHBOARD_PARTS
};

extern const struct str dashboard_parts[DASHBOARD_PARTS];

#endif

# One line per module.  Keep sorted.
liblimpet_a_SOURCES += include/proto/parse.h
liblimpet_a_SOURCES += \
	include/proto/http1.h include/proto/http1_why.def include/proto/http1_fields.def \
	include/proto/http1_internal.h include/proto/http1_scan.h \
	src/proto/http1_chunked.c src/proto/http1_fields.c \
	src/proto/http1_head.c src/proto/http1_names.c

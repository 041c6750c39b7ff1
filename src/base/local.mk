liblimpet_a_SOURCES += \
	include/base/bug.h src/base/bug.c \
	include/base/mem.h src/base/mem.c \
	include/base/str.h src/base/str.c

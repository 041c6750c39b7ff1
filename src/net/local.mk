liblimpet_a_SOURCES += \
	include/net/addr.h src/net/addr.c

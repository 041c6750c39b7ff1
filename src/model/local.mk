liblimpet_a_SOURCES += \
	include/model/config.h \
	include/model/counters.def include/model/counters.h src/model/counters.c \
	include/model/match.h \
	include/model/server.h src/model/server.c

# One line per module.  Keep sorted.
liblimpet_a_SOURCES += include/proto/parse.h

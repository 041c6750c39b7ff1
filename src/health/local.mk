liblimpet_a_SOURCES +=

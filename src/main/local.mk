sbin_PROGRAMS += limpet
limpet_SOURCES = src/main/main.c

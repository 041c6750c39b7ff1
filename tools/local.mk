# SPDX-License-Identifier: MIT
# Targets for those who work on Limpet.  Variants are built beside this build, in build-NAME/.
.PHONY: lint format check-asan check-tsan fuzz fuzz-build bench bench-build cov compdb print-dist

# All checks, or those of CHECKS="layers sizes" alone.
lint: limpet-gendoc$(EXEEXT) limpet-gencommands$(EXEEXT) limpet-genmetrics$(EXEEXT)
	@build=$$PWD && cd $(top_srcdir) && tests/lint/lint.sh "$$build" $(CHECKS)

format:
	cd $(top_srcdir) && find src include tests bench -name '*.[ch]' | xargs clang-format -i

# Unit and integration tests under AddressSanitizer and UndefinedBehaviorSanitizer, ThreadSanitizer.
check-asan:
	$(SHELL) $(top_srcdir)/tools/variant.sh asan $(top_srcdir) --enable-werror \
		--enable-sanitize=address,undefined
	cd build-asan && $(MAKE) check
check-tsan:
	$(SHELL) $(top_srcdir)/tools/variant.sh tsan $(top_srcdir) --enable-werror \
		--enable-sanitize=thread
	cd build-tsan && THREADS=4 $(MAKE) check

# Each fuzzer for FUZZ_SECONDS, or those of FUZZ="tests/fuzz/fuzz_uri ..." alone.
FUZZ_SECONDS = 30
FUZZ = $(FUZZERS)
fuzz-build:
	$(SHELL) $(top_srcdir)/tools/variant.sh fuzz $(top_srcdir) --enable-werror --enable-fuzz CC=clang
	cd build-fuzz && $(MAKE) $(FUZZ)
fuzz: fuzz-build
	srcdir=`cd $(top_srcdir) && pwd` && cd build-fuzz && \
		$(SHELL) $$srcdir/tools/fuzz.sh $$srcdir $(FUZZ_SECONDS) $(FUZZ)

bench-build: $(BENCHES)
bench: bench-build limpet$(EXEEXT)
	@for each in $(BENCHES); do echo "== $$each"; ./$$each || exit 1; done
	@if command -v redis-server >/dev/null; then echo "== bench/mirror.py, briefly"; \
	  $(top_srcdir)/bench/mirror.py ./limpet --entries 20000 --changes 20000 --requests 1000; fi
	@echo "== bench/compare.py, a few rows"; $(MAKE) -s bench-compare

cov:
	$(SHELL) $(top_srcdir)/tools/variant.sh cov $(top_srcdir) --enable-coverage CFLAGS='-O0 -g'
	find build-cov -name '*.gcda' -exec rm -f {} +
	-cd build-cov && $(MAKE) check
	srcdir=`cd $(top_srcdir) && pwd` && cd build-cov && $(SHELL) $$srcdir/tools/coverage.sh

compdb:
	$(SHELL) $(top_srcdir)/tools/variant.sh compdb $(top_srcdir)
	cd build-compdb && $(MAKE) clean && bear -- $(MAKE) all $(UNIT_TESTS)
	cp build-compdb/compile_commands.json $(top_srcdir)/

# What a release has, for lint to compare with the repository.
print-dist:
	@printf '%s\n' $(DIST_COMMON) $(DIST_SOURCES) $(EXTRA_DIST) | \
		sed 's,^$(top_srcdir)/,,'

clean-local:
	rm -rf build-asan build-tsan build-fuzz build-cov build-compdb

EXTRA_DIST += \
	.clang-format .clang-tidy .editorconfig bootstrap check.sh demo.sh \
	doc/layers.txt \
	tests/lint/dist.py tests/lint/exceptions.txt tests/lint/layers.py tests/lint/lint.sh \
	tests/lint/sizes.py tests/lint/source.py tests/lint/tree.py \
	tools/build.sh tools/check-again.sh tools/coverage.sh tools/fuzz.sh tools/packages-debian.txt \
	tools/setup-debian.sh tools/variant.sh

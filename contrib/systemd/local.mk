# SPDX-License-Identifier: MIT
# The service: into systemd's directories when configure was told where they are, else beside the
# other examples.
SYSTEMD_FILES = contrib/systemd/limpet.service.in \
	contrib/systemd/limpet.sysusers contrib/systemd/limpet.tmpfiles
EXTRA_DIST += $(SYSTEMD_FILES) tests/service/systemd.sh
CLEANFILES += contrib/systemd/limpet.service \
	contrib/systemd/sysusers.d/limpet.conf contrib/systemd/tmpfiles.d/limpet.conf

contrib/systemd/limpet.service: contrib/systemd/limpet.service.in
	$(AM_V_GEN)$(MKDIR_P) contrib/systemd && \
	  sed -e 's,[@]sbindir[@],$(sbindir),g' -e 's,[@]sysconfdir[@],$(sysconfdir),g' \
	    $(srcdir)/contrib/systemd/limpet.service.in > $@.tmp && mv $@.tmp $@
contrib/systemd/sysusers.d/limpet.conf: contrib/systemd/limpet.sysusers
	$(AM_V_GEN)$(MKDIR_P) contrib/systemd/sysusers.d && cp $(srcdir)/contrib/systemd/limpet.sysusers $@
contrib/systemd/tmpfiles.d/limpet.conf: contrib/systemd/limpet.tmpfiles
	$(AM_V_GEN)$(MKDIR_P) contrib/systemd/tmpfiles.d && cp $(srcdir)/contrib/systemd/limpet.tmpfiles $@

if HAVE_SYSTEMD
systemdsystemunit_DATA = contrib/systemd/limpet.service
sysusers_DATA = contrib/systemd/sysusers.d/limpet.conf
tmpfiles_DATA = contrib/systemd/tmpfiles.d/limpet.conf
else
nobase_nodist_pkgdata_DATA = contrib/systemd/limpet.service \
	contrib/systemd/sysusers.d/limpet.conf contrib/systemd/tmpfiles.d/limpet.conf
endif

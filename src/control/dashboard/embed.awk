# SPDX-License-Identifier: MIT
# Makes C from the page: awk -f embed.awk page.html style.css script.js...  The style takes the place
# of "@style@" on its line of the page, the scripts that of "@script@".  These two are parts of their
# own to the byte, for their hashes stand in the page's policy.
function begin(name) {
	if (open)
		print ";"
	open = 1
	printf "static const char %s[] =\n", name
}
function put(line, end) {
	gsub(/\\/, "&&", line)
	gsub(/"/, "\\\"", line)
	gsub(/\t/, "\\t", line)
	print "\t\"" line end "\""
}
function put_file(file,   line, any) {
	while ((any = (getline line < file)) > 0)
		put(line, "\\n")
	if (any < 0) {
		print "embed.awk: cannot read " file > "/dev/stderr"
		exit 1
	}
	close(file)
}
BEGIN {
	print "/* Made by src/control/dashboard/embed.awk; do not edit. */"
	print "#include \"config.h\"\n"
	print "#include \"control/dashboard.h\"\n"
	begin("head")
	while ((getline line < ARGV[1]) > 0) {
		if ((at = index(line, "@style@")) > 0) {
			put(substr(line, 1, at - 1), "")
			begin("style")
			put_file(ARGV[2])
			begin("body")
			put(substr(line, at + 7), "\\n")
		} else if ((at = index(line, "@script@")) > 0) {
			put(substr(line, 1, at - 1), "")
			begin("script")
			for (i = 3; i < ARGC; i++)
				put_file(ARGV[i])
			begin("tail")
			put(substr(line, at + 8), "\\n")
		} else {
			put(line, "\\n")
		}
	}
	print ";"
	print "\n#define PART(name) { name, sizeof(name) - 1 }"
	print "const struct str dashboard_parts[DASHBOARD_PARTS] = {"
	print "\tPART(head), PART(style), PART(body), PART(script), PART(tail),"
	print "};"
}

# SPDX-License-Identifier: MIT
# Makes C from the page: awk -f embed.awk page.html style.css script.js...  The style takes the place
# of the line "@style@" of the page, the scripts that of "@script@".
function begin(name) {
	if (open)
		print ";"
	open = 1
	printf "static const char %s[] =\n", name
}
function put(line) {
	gsub(/\\/, "&&", line)
	gsub(/"/, "\\\"", line)
	gsub(/\t/, "\\t", line)
	print "\t\"" line "\\n\""
}
function put_file(file,   line, any) {
	while ((any = (getline line < file)) > 0)
		put(line)
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
		if (line == "@style@") {
			begin("style")
			put_file(ARGV[2])
			begin("body")
		} else if (line == "@script@") {
			begin("script")
			for (i = 3; i < ARGC; i++)
				put_file(ARGV[i])
			begin("tail")
		} else {
			put(line)
		}
	}
	print ";"
	print "\n#define PART(name) { name, sizeof(name) - 1 }"
	print "const struct str dashboard_parts[DASHBOARD_PARTS] = {"
	print "\tPART(head), PART(style), PART(body), PART(script), PART(tail),"
	print "};"
}

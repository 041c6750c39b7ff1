# SPDX-License-Identifier: MIT
# The address of a pair on EC2, and its test.
awsdir = $(pkgdatadir)/aws
dist_aws_SCRIPTS = contrib/aws/limpet-aws-address
EXTRA_DIST += contrib/aws/README.md contrib/aws/policy.json contrib/aws/user-data.sh

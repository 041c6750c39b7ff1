#!/bin/bash
# SPDX-License-Identifier: MIT
# User data of a node behind an NLB (Debian 12): settings from the parameter store, Limpet as a service.
# Limpet itself is in the image.  The instance's role may read these three parameters, and decrypt them.
set -eu
metadata=http://169.254.169.254/latest
token=$(curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' $metadata/api/token)
meta() { curl -sf -H @- "$metadata/meta-data/$1" <<<"X-aws-ec2-metadata-token: $token"; }
AWS_DEFAULT_REGION=$(meta placement/region)
export AWS_DEFAULT_REGION
parameter() { aws ssm get-parameter --with-decryption --name "/limpet/$1" --query Parameter.Value --output text; }

install -d -m 0750 -g limpet /etc/limpet
umask 027
parameter config >/etc/limpet/limpet.yaml               # examples/ha-pair/node.yaml
{
	echo "NODE=$(meta instance-id)"
	echo "REDIS_PASSWORD=$(parameter redis-password)"
	echo "MIRROR_SECRET=$(parameter mirror-secret)"
} >/etc/limpet/environment
chgrp limpet /etc/limpet/*
install -d /etc/systemd/system/limpet.service.d
printf '[Service]\nEnvironmentFile=/etc/limpet/environment\n' >/etc/systemd/system/limpet.service.d/environment.conf
systemctl daemon-reload
systemctl enable --now limpet

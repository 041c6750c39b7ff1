#!/bin/sh
# SPDX-License-Identifier: MIT
# Certificates to try the example with: certs.sh DIRECTORY.  For the real ones ask your authority.
set -eu
dir=${1:?usage: certs.sh DIRECTORY}
mkdir -p "$dir/site"
umask 077

authority() { # FILE NAME
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj "/CN=$2" \
		-keyout "$dir/$1.key" -out "$dir/$1.pem" 2>/dev/null
}

leaf() { # FILE NAME AUTHORITY USAGE ALTERNATIVE-NAMES ALGORITHM...
	file=$1 name=$2 authority=$3 usage=$4 names=$5
	shift 5
	openssl req -new -newkey "$@" -nodes -subj "/CN=$name" -keyout "$dir/new.key" -out "$dir/new.csr" 2>/dev/null
	printf 'basicConstraints=CA:FALSE\nextendedKeyUsage=%s\nsubjectAltName=%s\n' "$usage" "$names" > "$dir/new.ext"
	openssl x509 -req -in "$dir/new.csr" -CA "$dir/$authority.pem" -CAkey "$dir/$authority.key" -days 365 \
		-set_serial "0x$(openssl rand -hex 8)" -extfile "$dir/new.ext" -out "$dir/new.pem" 2>/dev/null
	cat "$dir/new.pem" "$dir/new.key" > "$dir/$file.pem"
	rm "$dir"/new.*
}

authority site-ca "Example site CA"
authority clients-ca "Example clients CA"
names=DNS:localhost,DNS:*.localhost,IP:127.0.0.1
leaf site/localhost.ecdsa localhost site-ca serverAuth "$names" ec -pkeyopt ec_paramgen_curve:P-256
leaf site/localhost.rsa localhost site-ca serverAuth "$names" rsa:2048
for name in reporter admin; do
	leaf "client-$name" "$name" clients-ca clientAuth "DNS:$name" ec -pkeyopt ec_paramgen_curve:P-256
done
echo "certificates are in $dir"

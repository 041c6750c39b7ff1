/* SPDX-License-Identifier: MIT */
/* Engine.IO on the wire, from the protocol documents: protocol 4 (record separators) and 3 (length prefixes). */

/* Text payloads -> list of packets. */
export function decode(eio, text)
{
	if (eio === 4)
		return text === '' ? [] : text.split('\x1e');
	const packets = [];
	for (let rest = text; rest.length;) {
		const colon = rest.indexOf(':'), length = Number(rest.slice(0, colon));
		if (colon < 1 || !Number.isInteger(length))
			throw new Error(`not a protocol 3 payload: ${JSON.stringify(text)}`);
		packets.push(rest.slice(colon + 1, colon + 1 + length));
		rest = rest.slice(colon + 1 + length);
	}
	return packets;
}

export function encode(eio, packets)
{
	return eio === 4 ? packets.join('\x1e') : packets.map((packet) => `${packet.length}:${packet}`).join('');
}

/* Protocol 3's binary payload: type, decimal digits as bytes, 255, packet. */
export function encode_binary3(packets)
{
	return Buffer.concat(packets.flatMap((packet) => {
		const body = Buffer.from(packet);
		const text = typeof packet === 'string';
		return [Buffer.from([text ? 0 : 1, ...String(text ? packet.length : body.length).split('').map(Number), 255]), body];
	}));
}

export function decode_binary3(bytes)
{
	const packets = [];
	for (let at = 0; at < bytes.length;) {
		const text = bytes[at++] === 0;
		let length = 0;
		while (bytes[at] !== 255)
			length = length * 10 + bytes[at++];
		const body = bytes.subarray(++at, at + length);
		at += length;
		packets.push(text ? body.toString() : [...body]);
	}
	return packets;
}

/* JSONP answer -> the payload in it. */
export function decode_jsonp(text)
{
	const found = /^(?:\/\*\*\/)?___eio\[(\d+)\]\((.*)\);?$/s.exec(text);
	if (!found)
		throw new Error(`not a JSONP answer: ${text.slice(0, 100)}`);
	return JSON.parse(found[2]);
}

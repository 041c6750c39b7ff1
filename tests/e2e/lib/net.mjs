/* SPDX-License-Identifier: MIT */
/*
 * Machines on a wire: network namespaces on one bridge.
 *
 *   hub     this process (run.sh starts it by "unshare --net"): the bridge, workers, Redis
 *   others  each a namespace that a process holds for as long as we live, with an eth0 on the bridge
 *
 * Nothing of it is visible outside, and it is gone with its processes.  Entered by "nsenter --net",
 * so that it also works in a chroot or a container, where "ip netns exec" cannot mount.
 */
import fs from 'node:fs';
import { execFileSync, spawn } from 'node:child_process';
import path from 'node:path';
import { REPO, temp_dir, wait_for, watch_child } from './util.mjs';

export const HUB = '10.77.0.1';

const run = (program, ...words) => execFileSync(program, words, { stdio: ['ignore', 'pipe', 'pipe'] }).toString();
const ip = (text) => run('ip', ...text.split(' '));

/* Throws with a sentence that says what is missing. */
export function start_hub()
{
	const links = fs.readFileSync('/proc/self/net/dev', 'utf8').match(/^ *[\w.@-]+:/gm).filter((name) => !/^ *lo:/.test(name));
	if (links.length || process.env.E2E_NET !== 'private')
		throw new Error('this suite changes the network: run it by tests/e2e/run.sh, as root');
	ip('link set lo up');
	ip('link add br0 type bridge forward_delay 0 stp_state 0 mcast_snooping 0');
	ip(`addr add ${HUB}/16 dev br0`);
	ip('link set br0 up');
}

/* NAME: at most 10 letters.  ADDRESS in 10.77.0.0/16. */
export async function add_machine(name, address)
{
	const hub = fs.readlinkSync('/proc/self/ns/net');
	const child = watch_child(spawn('unshare', ['--net', 'cat'], { stdio: ['pipe', 'ignore', 'ignore'] }));
	/* It lives as long as we do, but we need not live for it: node 18 waits for what is open. */
	child.unref();
	child.stdin.unref();
	const there = () => fs.readlinkSync(`/proc/${child.pid}/ns/net`);
	await wait_for(() => there() !== hub, `the namespace of ${name}`, 5000, 5);
	const enter = ['nsenter', '--target', String(child.pid), '--net'];
	const machine = {
		name, address, enter,
		run: (text) => run(...enter, ...text.split(' ')),
		spawn: (program, words, options = {}) => watch_child(spawn(enter[0], [...enter.slice(1), program, ...words], options)),
		unplug: () => ip(`link set v${name} down`),
		plug: () => ip(`link set v${name} up`),
		has: (other) => machine.run('ip -4 -o addr show dev eth0').includes(` ${other}/`),
	};
	ip(`link add v${name} type veth peer name eth0 netns ${child.pid}`);
	ip(`link set v${name} master br0 up`);
	machine.run('ip link set lo up');
	machine.run(`ip addr add ${address}/16 dev eth0`);
	machine.run('ip link set eth0 up');
	return machine;
}

/*
 * The real keepalived with contrib/keepalived/limpet.conf, its first lines filled in for MACHINE.
 * .log is [at, line]...; .master_since() when it last took the address, or 0.
 */
export function start_keepalived(machine, { peer, priority, address })
{
	const dir = temp_dir('k'), file = path.join(dir, 'keepalived.conf'), scripts = path.join(REPO, 'contrib/keepalived');
	const ours = { OWN_ADDRESS: machine.address, PEER_ADDRESS: peer, PRIORITY: priority, ADDRESS: `${address}/16`, SCRIPTS: scripts, SCRIPT_USER: 'root' };
	let text = fs.readFileSync(path.join(scripts, 'limpet.conf'), 'utf8').replace(/^\tenable_script_security\n/m, '');
	for (const [key, value] of Object.entries(ours))
		text = text.replace(new RegExp(`^\\$${key}=\\S+`, 'm'), `$${key}=${value}`);
	fs.writeFileSync(file, text);
	const me = { log: [], dir };
	const child = machine.spawn('keepalived', ['-P', '-n', '-l', '-D', '-f', file, '-p', path.join(dir, 'pid'), '-r', path.join(dir, 'vrrp.pid')], {
		stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, LIMPET_STATE_DIR: dir, LIMPET_NOTIFY_CONF: '/dev/null' },
	});
	const save = (part) => part.split('\n').filter(Boolean).forEach((line) => me.log.push([Date.now(), line]));
	child.stdout.setEncoding('utf8').on('data', save);
	child.stderr.setEncoding('utf8').on('data', save);
	const gone = new Promise((done) => child.once('exit', done));
	/* The process that does the work is a child of the one that we know. */
	me.vrrp_pid = () => Number(/VRRP child process, pid=(\d+)/.exec(me.log.map(([, line]) => line).join('\n'))[1]);
	me.master_since = (after = 0) => me.log.find(([at, line]) => at >= after && /\(limpet\) Entering MASTER STATE/.test(line))?.[0] || 0;
	me.state = () => { try { return fs.readFileSync(path.join(dir, 'limpet.state'), 'utf8').trim(); } catch { return ''; } };
	process.on('exit', () => { try { process.kill(me.vrrp_pid(), 'SIGKILL'); } catch { /* gone already */ } });
	me.tail = () => me.log.slice(-30).map(([, line]) => line).join('\n');
	me.stop = async () => { child.kill('SIGTERM'); await gone; };
	/* Both processes, the one that works first: nothing is tidied up, the address stays where it is. */
	me.kill = async () => { const vrrp = me.vrrp_pid(); process.kill(vrrp, 'SIGKILL'); child.kill('SIGKILL'); await gone; };
	return me;
}

import { type ChildProcess, execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Machine, type MachineProps, Machines } from "../../cloud/machine/machine";
import { installRoot, isRootInstalled } from "../../cloud/machine/root";
import { inside, namespaceAt, processesIn } from "../../cloud/namespace";
import { ENDS_WITH_PARENT, type Ended, start, until } from "../../cloud/program";
import { describeSuite } from "../../cloud/requirements";

const PROJECT = join(__dirname, "../..");
const DOMAIN = "eu-central-1.compute.internal";
const MEMORY = 256;

/** A resolver that knows the machines' names: the address of ip-A-B-C-D in the domain. */
const RESOLVER = `
const { decode, encode } = require("dns-packet");
const socket = require("node:dgram").createSocket("udp4");
socket.on("message", (query, { address, port }) => {
  const { id, questions } = decode(query);
  const [{ name, type }] = questions;
  const [, host] = /^ip-([0-9-]+)[.]${DOMAIN.replaceAll(".", "[.]")}$/i.exec(name) ?? [];
  const answers = host && type === "A" ? [{ name, type, data: host.replaceAll("-", ".") }] : [];
  socket.send(encode({ type: "response", id, flags: host ? 0 : 3, questions, answers }), port, address);
});
socket.bind(53, "172.31.0.2", () => console.log("listens"));
`;

/** Enables a service, which does nothing. */
const ENABLE_UNIT = `
printf "[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=true\\n[Install]\\nWantedBy=multi-user.target\\n" > /etc/systemd/system/mark.service
systemctl enable --quiet --now mark`;

const helpers: ChildProcess[] = [];

/** Starts a program that ends after the tests. It returns after the program's first output. */
async function startHelper(...command: string[]): Promise<number> {
  const { process: helper, output } = start([...ENDS_WITH_PARENT, ...command]);
  helpers.push(helper);
  await until(() => output() !== "", { what: () => command.join(" "), process: helper });
  return helper.pid as number;
}

/** Starts a process that holds a network namespace. */
async function holdNamespace(): Promise<number> {
  return startHelper("unshare", "--net", "sh", "-c", "echo held; exec sleep infinity");
}

const inNetwork = (pid: number, ...command: string[]) => [...inside(`/proc/${pid}/ns/net`), ...command];

function ip(pid: number, ...args: string[]): void {
  const [program = "", ...rest] = inNetwork(pid, "ip", ...args);
  execFileSync(program, rest);
}

/** The processes in a machine's network namespace, without the one that holds it. */
function processesOn(holder: number): number[] {
  return processesIn(namespaceAt(`/proc/${holder}/ns/net`)).filter((pid) => pid !== holder);
}

/** The commands of the processes in a network namespace. */
function commandsIn(holder: number): string[] {
  return processesOn(holder).map((pid) => {
    const file = `/proc/${pid}/cmdline`;
    return existsSync(file) ? readFileSync(file, "utf8").replaceAll("\0", " ").trim() : "";
  });
}

/** What this box has of the machines in a folder: control groups, and mounts outside of their own namespaces. */
function leftovers(folder: string): string[] {
  const groups = readdirSync(folder, { withFileTypes: true })
    .map(({ name }) => join(folder, name, "cgroups"))
    .filter((file) => existsSync(file))
    .flatMap((file) => readFileSync(file, "utf8").split("\n"));
  const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  return [...groups.filter((group) => existsSync(group)), ...mounts.filter((line) => line.includes(folder))];
}

describeSuite("machines that boot", () => {
  let folder: string;
  let root: string;
  let machines: Machines;
  let client: number;
  let key: string;
  let props: Omit<MachineProps, "id" | "hostname" | "namespace">;
  const log: string[] = [];
  const networks = new Map<number, number>();
  const booted = new Map<number, Machine>();

  beforeAll(async () => {
    root = await installRoot((line) => process.stderr.write(`${line}\n`));
    // Not in /tmp: an overlay cannot be on every file system that may be there.
    folder = mkdtempSync(join(PROJECT, ".cloud", "machines-"));
    machines = new Machines({ folder: join(folder, "disks"), root, log: (line) => log.push(line) });
    key = join(folder, "key");
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
    client = await holdNamespace();
    ip(client, "link", "set", "lo", "up");
    ip(client, "address", "add", "172.31.0.2/32", "dev", "lo");
    await startHelper(...inNetwork(client, "node", "-e", RESOLVER));
    props = {
      domain: DOMAIN,
      resolver: "172.31.0.2",
      memoryMiB: MEMORY,
      userData: "name=worker-0|pod-cidr=172.20.0.0/24",
      authorizedKeys: [readFileSync(`${key}.pub`, "utf8")],
    };
  }, 600_000);

  afterAll(async () => {
    await machines?.close();
    for (const helper of helpers) helper.kill("SIGKILL");
    if (folder) rmSync(folder, { recursive: true });
  });

  /** The holder of the network namespace of machine 172.31.N.10, joined to the client's. */
  async function network(n: number): Promise<number> {
    const holder = networks.get(n) ?? (await holdNamespace());
    if (networks.has(n)) return holder;
    networks.set(n, holder);
    ip(client, "link", "add", `m${n}`, "type", "veth", "peer", "name", "eth0", "netns", String(holder));
    ip(client, "address", "add", `172.31.${n}.1/24`, "dev", `m${n}`);
    ip(client, "link", "set", `m${n}`, "up");
    ip(holder, "address", "add", `172.31.${n}.10/24`, "dev", "eth0");
    ip(holder, "link", "set", "eth0", "up");
    ip(holder, "route", "add", "default", "via", `172.31.${n}.1`);
    return holder;
  }

  /** Starts machine 172.31.N.10, and waits until sshd listens. */
  async function boot(n: number, changes: Partial<MachineProps> = {}): Promise<Machine> {
    const namespace = `/proc/${await network(n)}/ns/net`;
    const machine = await machines.start({
      ...props,
      id: `i-${n}`,
      hostname: `ip-172-31-${n}-10`,
      namespace,
      ...changes,
    });
    await machine.listens();
    booted.set(n, machine);
    return machine;
  }

  const running = (n: number) => booted.get(n) as Machine;

  const disks = () => join(folder, "disks");

  /** The host key and the machine id, which a machine makes at its first boot. */
  const identity = (n: number) => on(n, "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub; hostname");

  function ssh(n: number, command: string): Promise<Ended> {
    const options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=3"];
    const login = ["ssh", "-i", key, ...options.flatMap((option) => ["-o", option]), `ubuntu@172.31.${n}.10`];
    return start(inNetwork(client, ...login, command)).ended;
  }

  /** The output of a command that succeeds on machine 172.31.N.10. */
  async function on(n: number, command: string): Promise<string> {
    const { status, output } = await ssh(n, command);
    expect({ status, output }).toEqual({ status: 0, output });
    return output.trim();
  }

  test("a machine boots with its host name, its resolver, sudo and a journal", async () => {
    const machine = await boot(1);
    // Soon after its start, systemd-resolved may answer with the name alone.
    await on(1, "systemctl is-system-running --wait; until hostname --fqdn | grep -F .; do sleep 0.1; done");
    expect(await on(1, "systemctl is-system-running; hostname; hostname --fqdn; sudo id -u; echo ~")).toBe(
      `running\nip-172-31-1-10\nip-172-31-1-10.${DOMAIN}\n0\n/home/ubuntu`,
    );
    const resolver = (name: string) => on(1, `grep -E '^(nameserver|search)' ${name}`);
    expect(await resolver("/etc/resolv.conf")).toBe(`nameserver 127.0.0.53\nsearch ${DOMAIN}`);
    expect(await resolver("/run/systemd/resolve/resolv.conf")).toBe(`nameserver 172.31.0.2\nsearch ${DOMAIN}`);
    expect(await on(1, "getent hosts ip-172-31-0-99")).toContain("172.31.0.99");
    expect(await machine.journal("--unit=ssh")).toContain("Accepted publickey for ubuntu");
    // As on Ubuntu, without sudo.
    expect(await on(1, "journalctl --unit=ssh --no-pager")).toContain("Accepted publickey for ubuntu");
    expect(await on(1, "ping -c 1 -W 1 127.0.0.1")).toContain("1 received");
  });

  /** Whether a service with a limit of memory may use 80 MB. */
  const serviceWithin = (n: number, limit: string) =>
    on(
      n,
      `sudo systemd-run --quiet --wait --property=MemoryMax=${limit} perl -e '@a = ("a" x 1e6) x 80' && echo yes || echo no`,
    );

  test("programs on a machine have its memory and not the box's, and its settings are not the box's", async () => {
    const machine = running(1);
    expect(machine.memory().limit).toBe(MEMORY * 2 ** 20);
    expect(machine.memory().used).toBeGreaterThan(2 ** 20);
    expect(await on(1, "grep MemTotal /proc/meminfo; tail -n +2 /proc/swaps")).toMatch(/^MemTotal: +262144 kB$/);
    const free = Number(await on(1, "free --bytes | awk '/^Mem:/ { print $4 }'"));
    expect(free).toBeGreaterThan(MEMORY * 2 ** 19);
    expect(free).toBeLessThan(MEMORY * 2 ** 20 - 2 ** 20);
    const { status } = await ssh(1, `exec perl -e '$x = "a" x ${(MEMORY + 10) * 2 ** 20}'`);
    expect(status).not.toBe(0);
    // The other sessions go on.
    expect(await on(1, "systemctl show --property=NRestarts --value ssh")).toBe("0");

    expect([await serviceWithin(1, "50M"), await serviceWithin(1, "200M")]).toEqual(["no", "yes"]);

    const box = readFileSync("/proc/sys/vm/overcommit_memory", "utf8");
    const other = box.trim() === "1" ? "0" : "1";
    await on(
      1,
      `echo ${other} | sudo tee /proc/sys/vm/overcommit_memory && grep -x ${other} /proc/sys/vm/overcommit_memory`,
    );
    expect(readFileSync("/proc/sys/vm/overcommit_memory", "utf8")).toBe(box);
  });

  test("a stopped machine keeps its disk, its host key and its services, and a wiped one is new", async () => {
    await on(1, `sudo sh -ec '${ENABLE_UNIT}'`);
    await on(1, "echo kept > file; echo kept | sudo tee /var/lib/containerd/file /var/lib/kubelet/file /tmp/file");
    const before = await identity(1);
    await running(1).stop();
    expect(await running(1).ended).toBe("poweroff");
    expect(leftovers(disks())).toEqual([]);
    expect(processesOn(networks.get(1) as number)).toEqual([]);

    // Changes of user data and keys do not count after the first boot.
    const machine = await boot(1, { userData: "#cloud-config\nhostname: other", authorizedKeys: [] });
    expect(await identity(1)).toBe(before);
    expect(await on(1, "systemctl is-active mark; cat file /var/lib/containerd/file /var/lib/kubelet/file")).toBe(
      "active\nkept\nkept\nkept",
    );
    expect(readFileSync(machine.path("/home/ubuntu/file"), "utf8")).toBe("kept\n");
    // /tmp is on the disk and not in the memory, and a boot empties it.
    expect(await on(1, "stat --file-system --format %T /tmp; ls /tmp/file 2>/dev/null || :")).toBe("overlayfs");
    expect(await machine.journal("--boot=-1", "--unit=ssh")).toContain("Accepted publickey");
    expect(() => machines.wipe("i-1")).toThrow("machine i-1 runs");

    await machine.stop();
    machines.wipe("i-1");
    await boot(1);
    expect(await identity(1)).not.toBe(before);
    expect(await on(1, "ls; ls /var/lib/containerd /var/lib/kubelet | grep file || :")).not.toContain("file\n");
  });

  test("reboot comes back with services and without what programs added to the network, poweroff ends the machine", async () => {
    const machine = running(1);
    await on(1, `sudo sh -ec '${ENABLE_UNIT}'`);
    await on(1, "sudo ip link add dummy0 type dummy; sudo nft add table ip a");
    const bootId = await on(1, "cat /proc/sys/kernel/random/boot_id");
    // A reboot stops all processes before it ends them.
    const stopped = start(machine.run(["sh", "-c", "echo stops; kill -STOP $$"]));
    await until(() => stopped.output().includes("stops"), { what: () => "the command begins" });
    await ssh(1, "sudo reboot");
    await until(() => !machine.isUp, { what: () => "the machine goes down" });
    await machine.listens();
    expect(await on(1, "systemctl is-active mark; ip -brief link show dummy0 2>/dev/null; sudo nft list tables")).toBe(
      "active",
    );
    expect(await on(1, "cat /proc/sys/kernel/random/boot_id")).not.toBe(bootId);
    expect(await on(1, "systemctl is-system-running --wait")).toBe("running");
    expect((await stopped.ended).status).toBe(128 + 15);

    expect([await serviceWithin(1, "50M"), await serviceWithin(1, "200M")]).toEqual(["no", "yes"]);

    await ssh(1, "sudo poweroff");
    expect(await machine.ended).toBe("poweroff");
    expect(leftovers(disks())).toEqual([]);
  });

  test("a power failure kills all processes at once, also frozen ones, and nobody hears it", async () => {
    const machine = await boot(1);
    const holder = networks.get(1) as number;
    const session = ssh(1, "echo begins; trap '' TERM HUP; sleep 60");
    await until(() => commandsIn(holder).includes("sleep 60"), { what: () => "the session begins" });
    machine.freeze();
    const { status, output } = await start(inNetwork(client, "ssh-keyscan", "-T", "1", "172.31.1.10")).ended;
    expect({ status, output }).toEqual({ status: 1, output: "" });

    ip(client, "link", "set", "m1", "down");
    await machine.powerOff();
    expect(await machine.ended).toBe("killed");
    expect(processesOn(holder)).toEqual([]);
    expect(leftovers(disks())).toEqual([]);
    ip(client, "link", "set", "m1", "up");
    ip(client, "neighbour", "flush", "dev", "m1");
    await boot(1);
    // The machine that boots answers the old connection with a reset.
    expect((await session).status).toBe(255);
    await running(1).powerOff();
  });

  test("the user data gives a host name and host keys", async () => {
    const given = join(folder, "given");
    execFileSync("ssh-keygen", ["-q", "-t", "ecdsa", "-N", "", "-f", given]);
    const keys = { ecdsa_private: readFileSync(given, "utf8"), rsa_private: "no key", ed25519_private: 5 };
    const userData = `#cloud-config\n${JSON.stringify({ fqdn: "web.example.com", ssh_keys: keys, users: ["ignored"] })}`;
    await boot(2, { userData });
    expect(await on(2, "hostname; cat /etc/ssh/ssh_host_ecdsa_key.pub; ls /etc/ssh | grep -c ed25519 || :")).toBe(
      `web\n${readFileSync(`${given}.pub`, "utf8").trim()}\n0`,
    );
    expect(log).toContain("i-2: ed25519_private in the user data is ignored: it must be a text");
    expect(log).toContain("i-2: rsa_private in the user data is a private key that ssh-keygen cannot read");
  });

  test("user data that is not YAML is ignored, with a line in the log", async () => {
    await boot(3, { userData: "#cloud-config\nhostname: [" });
    expect(await on(3, "hostname")).toBe("ip-172-31-3-10");
    expect(log.filter((line) => line.startsWith("i-3: the user data is ignored: "))).toHaveLength(1);
  });

  test("a machine that cannot start is an error with a reason, and leaves nothing", async () => {
    await expect(boot(4, { namespace: "/proc/none/ns/net" })).rejects.toThrow(/^machine i-4: .*\/proc\/none\/ns\/net/);
    expect(leftovers(disks()).filter((line) => line.includes("i-4"))).toEqual([]);
    await expect(boot(2)).rejects.toThrow("machine i-2 runs");
    await expect(boot(4, { id: "../a" })).rejects.toThrow('id must be letters, digits and hyphens, got "../a"');
  });

  test("the machines of a killed program end, and clean() removes the rest", async () => {
    const folderOfProgram = join(folder, "killed");
    const options = { ...props, id: "i-5", hostname: "ip-172-31-5-10", namespace: `/proc/${await network(5)}/ns/net` };
    const program = `const { Machines } = require("./cloud/machine/machine");
      new Machines(${JSON.stringify({ folder: folderOfProgram, root })}).start(${JSON.stringify(options)})
        .then((machine) => machine.listens()).then(() => console.log("listens"));`;
    const owner = start(["node", "--import", "tsx", "--input-type=commonjs", "-e", program], { cwd: PROJECT });
    await until(() => owner.output().includes("listens"), { what: owner.output, process: owner.process });
    expect(processesOn(networks.get(5) as number).length).toBeGreaterThan(3);
    owner.process.kill("SIGKILL");
    await until(() => processesOn(networks.get(5) as number).length === 0, { what: () => "the machine ends" });
    const groups = readFileSync(join(folderOfProgram, "i-5", "cgroups"), "utf8").split("\n");
    Machines.clean(folderOfProgram);
    expect(groups.filter((group) => existsSync(group))).toEqual([]);
    expect(existsSync(folderOfProgram)).toBe(false);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(folderOfProgram);
  });

  test("close() ends all machines", async () => {
    await machines.close();
    expect(leftovers(disks())).toEqual([]);
    expect([2, 3].flatMap((n) => processesOn(networks.get(n) as number))).toEqual([]);
  });
});

describeSuite("machines that boot", () => {
  let folder: string;
  const log: string[] = [];
  const recipe = () => join(folder, "recipe.sh");
  const install = () => installRoot((line) => log.push(line), join(folder, "root"), recipe());

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "root-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test("two programs make the root once, and a changed recipe makes it again", async () => {
    writeFileSync(recipe(), 'mkdir "$1"; echo >> "$(dirname "$1")/made-by"; sleep 0.3');
    const files = await Promise.all([install(), install()]);
    expect(files).toEqual([join(folder, "root/files"), join(folder, "root/files")]);
    await install();
    const times = () => readFileSync(join(folder, "root/made-by"), "utf8").length;
    expect(times()).toBe(1);
    writeFileSync(recipe(), `${readFileSync(recipe(), "utf8")}; :`);
    await install();
    expect(times()).toBe(2);
    expect(log).toHaveLength(3);
  });

  test("an interrupted making leaves no process and no root, and the next one makes it", async () => {
    writeFileSync(recipe(), 'mkdir "$1"; [ -e "$1.2" ] || { touch "$1.2"; exec sleep 61; }');
    const program = `require("./cloud/machine/root").installRoot(console.log, ${JSON.stringify(join(folder, "root"))}, ${JSON.stringify(recipe())})`;
    const owner = start(["node", "--import", "tsx", "--input-type=commonjs", "-e", program], { cwd: PROJECT });
    const second = join(folder, "root/files.2");
    await until(() => existsSync(second), { what: owner.output, process: owner.process });
    owner.process.kill("SIGKILL");
    await owner.ended;
    expect(isRootInstalled(join(folder, "root"), recipe())).toBe(false);
    await install();
    expect(isRootInstalled(join(folder, "root"), recipe())).toBe(true);
  });

  test("a mirror that cannot be reached is one line with the way out", async () => {
    process.env.CLOUD_DEBIAN_MIRROR = "http://127.0.0.1:1/debian";
    try {
      await expect(installRoot(() => {}, join(folder, "unreachable"))).rejects.toThrow(
        /^the machines' root cannot be made from http:\/\/127\.0\.0\.1:1\/debian: .*; CLOUD_DEBIAN_MIRROR sets another mirror of Debian$/,
      );
      expect(isRootInstalled(join(folder, "unreachable"))).toBe(false);
    } finally {
      delete process.env.CLOUD_DEBIAN_MIRROR;
    }
  });
});

import { readlinkSync } from "node:fs";
import { join } from "node:path";
import { inside, Namespace, processesIn, run } from "../../cloud/namespace";
import { ENDS_WITH_PARENT, type Running, start, until } from "../../cloud/program";
import { describeSuite } from "../../cloud/requirements";
import type { Metadata, Port, Route, Rule, VpcState } from "../../cloud/vpc/state";
import { Vpc } from "../../cloud/vpc/vpc";

const OUTSIDE = "198.51.100.1";
const ANYWHERE = "0.0.0.0/0";
const LOCAL: Route = { cidr: "172.31.0.0/16", target: "local" };
const TO_INTERNET: Route = { cidr: ANYWHERE, target: "gateway" };
const IMDS = "http://169.254.169.254";

/** The seconds after which a client without an answer gives up, if it should get none, and if it should get one. */
const PATIENCE = { blocked: 0.3, open: 8 };

/** A server on TCP and UDP ports. It sends each client the address that it sees, and then the client's own data. */
const SERVER = `
const ports = process.argv.slice(1).map(Number);
for (const port of ports) {
  require("net").createServer((c) => { c.on("error", () => {}); c.write(c.remoteAddress + "\\n"); c.pipe(c); }).listen(port, "0.0.0.0");
  const udp = require("dgram").createSocket("udp4", (_, from) => udp.send(from.address + "\\n", from.port, from.address)).bind(port);
}
setTimeout(() => console.log("ready"), 50);
`;

/** A client. It prints the first line that it receives, or the error of the connection. */
const CLIENT = 'exec 3<>"/dev/$0/$1/$2" && echo x >&3 && head -n 1 <&3';

/** A client with a long connection: it prints everything that it receives, and sends a byte every 10 ms. */
const LONG_CLIENT = `
const [host, port] = process.argv.slice(1);
const c = require("net").connect({ host, port: Number(port) }).on("data", (data) => process.stdout.write(data)).on("error", (e) => process.exit(1));
setInterval(() => c.write("."), 10);
`;

const SERVER_PORTS = [22, 2378, 2379, 2380, 2381, 6443];

/** The ports of the tests' VPC, before a test changes them. */
const PORTS = {
  master: { privateIp: "172.31.0.10", publicIp: "54.0.0.10" },
  worker: { privateIp: "172.31.0.20", publicIp: "54.0.0.20", sourceDestCheck: false },
  other: { privateIp: "172.31.0.21", publicIp: "54.0.0.21", sourceDestCheck: false },
  hidden: { subnet: "subnet-1", privateIp: "172.31.1.10" },
  balancer: { privateIp: "172.31.0.100", publicIp: "54.0.0.100" },
} satisfies Record<string, Partial<Port>>;

type PortName = keyof typeof PORTS;
const PORT_NAMES = Object.keys(PORTS) as PortName[];

/** What a test changes in the state of the VPC. */
interface Changes extends Partial<Omit<VpcState, "ports" | "routeTables">> {
  readonly ports?: Partial<Record<PortName, Partial<Port>>>;
  /** The route table of the first subnet, after the local route. */
  readonly routes?: readonly Route[];
}

function vpcState({ ports = {}, routes = [TO_INTERNET], ...changes }: Changes = {}): VpcState {
  return {
    cidrs: ["172.31.0.0/16"],
    region: "eu-central-1",
    dns: true,
    subnets: [
      { id: "subnet-0", cidr: "172.31.0.0/24", routeTable: "rtb-0" },
      { id: "subnet-1", cidr: "172.31.1.0/24", routeTable: "rtb-1" },
    ],
    routeTables: [
      { id: "rtb-0", routes: [LOCAL, ...routes] },
      { id: "rtb-1", routes: [LOCAL] },
    ],
    securityGroups: [],
    names: {},
    ...changes,
    ports: PORT_NAMES.map((id) => ({ id, subnet: "subnet-0", sourceDestCheck: true, ...PORTS[id], ...ports[id] })),
  };
}

/** A state in which the master has a security group with these rules. Everybody else may send and receive everything. */
function withRules(rules: { ingress?: readonly Rule[]; egress?: readonly Rule[] }, changes: Changes = {}): VpcState {
  const all: Rule = { protocol: "-1", cidrs: [ANYWHERE], groups: [] };
  return vpcState({
    ...changes,
    securityGroups: [
      { id: "sg-master", ingress: rules.ingress ?? [all], egress: rules.egress ?? [all] },
      { id: "sg-worker", ingress: [all], egress: [all] },
    ],
    ports: {
      master: { securityGroups: ["sg-master"] },
      worker: { securityGroups: ["sg-worker"] },
      ...changes.ports,
    },
  });
}

const metadata = (changes: Partial<Metadata> = {}): Metadata => ({
  instanceId: "i-1",
  hostname: "ip-172-31-0-10.eu-central-1.compute.internal",
  instanceType: "t3.micro",
  ami: "ami-1",
  zone: "eu-central-1a",
  userData: "#!/bin/sh\n",
  tokens: "optional",
  hopLimit: 1,
  enabled: true,
  ...changes,
});

describeSuite("the network of a VPC", () => {
  let outside: Namespace;
  let vpc: Vpc;
  const paths = {} as Record<PortName | "outside" | "pod" | "otherPod", string>;
  const pods: Namespace[] = [];
  const servers: Running[] = [];
  const problems: string[] = [];
  type Place = keyof typeof paths;

  jest.setTimeout(20_000);

  beforeAll(async () => {
    outside = await Namespace.create();
    vpc = await Vpc.open({ outside: outside.path, id: "vpc-1", log: (line) => problems.push(line) });
    await vpc.apply(vpcState());
    const attached = await Promise.all(PORT_NAMES.map(async (name) => [name, await vpc.attach(name)] as const));
    Object.assign(paths, { ...Object.fromEntries(attached), outside: outside.path });
    paths.pod = await addPod(paths.worker, 0);
    paths.otherPod = await addPod(paths.other, 1);
    await Promise.all(Object.values(paths).map(startServer));
  });

  afterAll(async () => {
    await vpc?.close();
    for (const { process } of servers) process.kill("SIGKILL");
    await Promise.all([...pods, outside].map((namespace) => namespace?.close()));
    expect(problems).toEqual([]);
  });

  /** A pod's namespace behind a worker. @returns its path */
  async function addPod(worker: string, index: number): Promise<string> {
    const pod = await Namespace.create();
    pods.push(pod);
    const script = `
      ip link add pod type veth peer name eth0 netns "$1"
      ip address add 172.20.${index}.1/24 dev pod
      ip link set pod up
      echo 1 > /proc/sys/net/ipv4/ip_forward
      nsenter --net="$1" sh -ec 'ip address add 172.20.${index}.2/24 dev eth0; ip link set eth0 up; ip route add default via 172.20.${index}.1'`;
    await run(["sh", "-ec", script, "sh", pod.path], { namespace: worker });
    return pod.path;
  }

  async function startServer(namespace: string): Promise<void> {
    const node = [process.execPath, "-e", SERVER, ...SERVER_PORTS.map(String)];
    const server = start([...ENDS_WITH_PARENT, ...inside(namespace), ...node]);
    servers.push(server);
    await until(() => server.output().includes("ready"), { what: server.output, process: server.process });
  }

  /** The output of a program at a place, without the last line's end. Its exit status does not matter. */
  async function at(place: Place, ...command: readonly string[]): Promise<string> {
    const { output } = await start([...ENDS_WITH_PARENT, ...inside(paths[place]), ...command]).ended;
    return output.trim();
  }

  interface ClientOptions {
    readonly protocol?: "tcp" | "udp";
    readonly port?: number;
  }

  /** The address of the client as the server sees it, "no answer", or the error of the connection. */
  async function connect(place: Place, host: string, patience: number, options: ClientOptions): Promise<string> {
    const { protocol = "tcp", port = 22 } = options;
    const client = ["bash", "-c", CLIENT, protocol, host, String(port)];
    return (await at(place, "timeout", String(patience), ...client)) || "no answer";
  }

  /** The client's address as a server sees it. */
  const seen = (place: Place, host: string, options: ClientOptions = {}) =>
    connect(place, host, PATIENCE.open, options);

  /** Expects that a server gets nothing, or that its answer does not arrive. */
  async function expectBlocked(place: Place, host: string, options: ClientOptions = {}): Promise<void> {
    expect(await connect(place, host, PATIENCE.blocked, options)).toBe("no answer");
  }

  const ping = async (place: Place, host: string, ...options: string[]) =>
    / 0% packet loss/.test(await at(place, "ping", "-n", "-c", "1", "-W", "0.3", ...options, host));

  const { master, worker, other, hidden, balancer } = PORTS;

  /** Counts the packets that arrive at a place, whether they are answered or not. @param match - in nftables' language */
  async function counted(place: Place, match: string, work: () => Promise<unknown>): Promise<number> {
    const chain = `chain in { type filter hook prerouting priority 0; ${match} counter; }`;
    await run(["nft", `table ip count { ${chain}; }`], { namespace: paths[place] });
    await work();
    const [, packets] = /packets (\d+)/.exec(await at(place, "nft", "list", "table", "ip", "count")) ?? [];
    await run(["nft", "delete table ip count"], { namespace: paths[place] });
    return Number(packets);
  }

  describe("private addresses", () => {
    test("machines reach each other, in one subnet and between subnets", async () => {
      await vpc.apply(vpcState());
      expect(
        await Promise.all([
          seen("master", worker.privateIp),
          seen("master", hidden.privateIp),
          seen("hidden", master.privateIp),
          seen("worker", master.privateIp, { protocol: "udp" }),
        ]),
      ).toEqual([master.privateIp, master.privateIp, hidden.privateIp, worker.privateIp]);
      expect(await ping("hidden", worker.privateIp)).toBe(true);
    });

    test("an address that no port has, and the router's own, do not answer", async () => {
      await vpc.apply(vpcState());
      expect(await Promise.all(["172.31.0.99", "172.31.1.99", "172.31.0.1"].map((ip) => ping("master", ip)))).toEqual([
        false,
        false,
        false,
      ]);
      // In another subnet the packet is lost. In the machine's own, nobody answers ARP.
      expect(await at("master", "ping", "-n", "-c", "1", "-W", "0.3", "172.31.1.99")).not.toContain("Unreachable");
      expect(await at("master", "ip", "neigh", "show", "172.31.0.99")).toMatch(/INCOMPLETE|FAILED/);
    });

    test("large packets pass, as in EC2", async () => {
      await vpc.apply(vpcState());
      expect(await ping("master", worker.privateIp, "-M", "do", "-s", "8900")).toBe(true);
    });
  });

  describe("public addresses", () => {
    test("the outside reaches a machine, and a machine the outside, each with its public address", async () => {
      await vpc.apply(vpcState());
      expect(await seen("outside", master.publicIp)).toBe(OUTSIDE);
      expect(await seen("master", OUTSIDE)).toBe(master.publicIp);
      expect(await ping("outside", worker.publicIp)).toBe(true);
    });

    test("a machine that connects to a public address in the VPC, or to its own, is seen with its own public address", async () => {
      await vpc.apply(vpcState());
      const targets = [worker.publicIp, balancer.publicIp, master.publicIp];
      expect(await Promise.all(targets.map((ip) => seen("master", ip)))).toEqual(targets.map(() => master.publicIp));
    });

    test("a machine without a public address does not reach the outside", async () => {
      await vpc.apply(vpcState({ ports: { master: { publicIp: undefined } } }));
      await Promise.all([expectBlocked("master", OUTSIDE), expectBlocked("master", worker.publicIp)]);
      expect(await seen("outside", master.publicIp)).toContain("Network is unreachable");
    });

    test("another public address replaces the old one", async () => {
      await vpc.apply(vpcState({ ports: { master: { publicIp: "54.0.0.77" } } }));
      expect(await seen("outside", "54.0.0.77")).toBe(OUTSIDE);
      expect(await seen("master", OUTSIDE)).toBe("54.0.0.77");
      expect(await seen("outside", master.publicIp)).toContain("Network is unreachable");
    });

    test("private addresses do not pass the gateway, in no direction", async () => {
      await vpc.apply(vpcState({ ports: { worker: { ...PORTS.worker, publicIp: undefined } } }));
      const gateway = (await at("outside", "ip", "-o", "route", "show", `${master.publicIp}/32`)).replace(/^\S+ /, "");
      await at("outside", "sh", "-c", `ip route add 172.16.0.0/12 ${gateway}; ip address add 10.9.9.9/32 dev lo`);
      try {
        await Promise.all([
          expectBlocked("outside", master.privateIp),
          expectBlocked("worker", OUTSIDE),
          expectBlocked("pod", OUTSIDE),
          expectBlocked("master", "10.9.9.9"),
        ]);
      } finally {
        await at("outside", "sh", "-c", "ip route del 172.16.0.0/12; ip address del 10.9.9.9/32 dev lo");
      }
    });
  });

  describe("route tables", () => {
    const toPods: Route = { cidr: "172.20.0.0/24", target: { port: "worker" } };
    const toOtherPods: Route = { cidr: "172.20.1.0/24", target: { port: "other" } };
    const [POD, OTHER_POD] = ["172.20.0.2", "172.20.1.2"];

    test("a route to a machine leads to the pods behind it, and a deleted route to nothing", async () => {
      await vpc.apply(vpcState({ routes: [TO_INTERNET, toPods, toOtherPods] }));
      expect(await Promise.all([seen("master", POD), seen("pod", master.privateIp), seen("pod", OTHER_POD)])).toEqual([
        master.privateIp,
        POD,
        POD,
      ]);

      await vpc.apply(vpcState({ routes: [TO_INTERNET, toOtherPods] }));
      await Promise.all([expectBlocked("master", POD), expectBlocked("pod", master.privateIp)]);
      expect(await seen("master", OTHER_POD)).toBe(master.privateIp);
    });

    test("the router does not redirect a machine to itself", async () => {
      await vpc.apply(vpcState({ routes: [{ cidr: "172.22.0.0/24", target: { port: "worker" } }] }));
      expect(
        await counted("worker", "icmp type redirect", () => ping("worker", "172.22.0.1", "-c", "3", "-i", "0.2")),
      ).toBe(0);
    });

    test("each subnet has its own routes", async () => {
      await vpc.apply(vpcState({ routes: [TO_INTERNET, toPods], ports: { hidden: { publicIp: "54.0.0.11" } } }));
      await Promise.all([
        expectBlocked("hidden", POD),
        expectBlocked("hidden", OUTSIDE),
        // The answers find no way back.
        expectBlocked("outside", "54.0.0.11"),
      ]);
      expect(await seen("master", POD)).toBe(master.privateIp);

      // The subnet gets the other table.
      const state = vpcState({ routes: [TO_INTERNET, toPods], ports: { hidden: { publicIp: "54.0.0.11" } } });
      await vpc.apply({ ...state, subnets: state.subnets.map((subnet) => ({ ...subnet, routeTable: "rtb-0" })) });
      expect(await seen("hidden", POD)).toBe(hidden.privateIp);
      expect(await seen("hidden", OUTSIDE)).toBe("54.0.0.11");
    });

    test("the longest prefix wins, and a black hole swallows", async () => {
      const hole: Route = { cidr: "172.20.0.0/16", target: "blackhole" };
      await vpc.apply(vpcState({ routes: [TO_INTERNET, hole, toPods] }));
      expect(await seen("master", POD)).toBe(master.privateIp);
      await expectBlocked("master", OTHER_POD);
      await vpc.apply(vpcState({ routes: [TO_INTERNET, { ...toPods, target: "blackhole" }] }));
      await expectBlocked("master", POD);
      await vpc.apply(vpcState({ routes: [{ cidr: "198.51.100.0/24", target: "blackhole" }, TO_INTERNET] }));
      await expectBlocked("master", OUTSIDE);
    });

    test("with the source/dest check, a machine neither receives nor sends packets of its pods", async () => {
      const routes = [TO_INTERNET, toPods, toOtherPods];
      await vpc.apply(vpcState({ routes, ports: { worker: { sourceDestCheck: true } } }));
      await Promise.all([expectBlocked("master", POD), expectBlocked("pod", OTHER_POD)]);
      expect(await seen("worker", OTHER_POD)).toBe(worker.privateIp);

      const toPod = () => counted("worker", "icmp type echo-request", () => ping("master", POD));
      const fromPod = () => counted("other", "icmp type echo-request", () => ping("pod", other.privateIp));
      expect([await toPod(), await fromPod()]).toEqual([0, 0]);
      await vpc.apply(vpcState({ routes }));
      expect([await toPod(), await fromPod()]).toEqual([1, 1]);
    });
  });

  describe("security groups", () => {
    const rule = (changes: Partial<Rule>): Rule => ({ protocol: "tcp", cidrs: [ANYWHERE], groups: [], ...changes });

    test("a range of ports is open to a CIDR, and nothing else", async () => {
      const range = rule({ from: 2379, to: 2380, cidrs: [`${worker.privateIp}/32`, "10.0.0.0/8"] });
      await vpc.apply(withRules({ ingress: [range] }));
      const to = (port: number, protocol: "tcp" | "udp" = "tcp") => [master.privateIp, { port, protocol }] as const;
      expect(await Promise.all([seen("worker", ...to(2379)), seen("worker", ...to(2380))])).toEqual([
        worker.privateIp,
        worker.privateIp,
      ]);
      await Promise.all([
        expectBlocked("worker", ...to(2378)),
        expectBlocked("worker", ...to(2381)),
        expectBlocked("worker", ...to(2379, "udp")),
        expectBlocked("other", ...to(2379)),
        expectBlocked("outside", master.publicIp, { port: 2379 }),
      ]);
      // Answers to its own connections come back.
      expect(await seen("master", worker.privateIp)).toBe(master.privateIp);
      expect(await seen("master", OUTSIDE)).toBe(master.publicIp);
    });

    test("a group as the source means the private addresses of its ports", async () => {
      const routes: Route[] = [TO_INTERNET, { cidr: "172.20.0.0/24", target: { port: "worker" } }];
      await vpc.apply(withRules({ ingress: [rule({ protocol: "-1", cidrs: [], groups: ["sg-worker"] })] }, { routes }));
      expect(await seen("worker", master.privateIp)).toBe(worker.privateIp);
      expect(await seen("worker", master.privateIp, { protocol: "udp" })).toBe(worker.privateIp);
      expect(await ping("worker", master.privateIp)).toBe(true);
      await Promise.all([
        expectBlocked("other", master.privateIp),
        expectBlocked("pod", master.privateIp),
        expectBlocked("worker", master.publicIp),
      ]);
    });

    test("the rules of all groups of a port add up; a port without groups gets nothing", async () => {
      const groups = (...securityGroups: string[]) => ({ ports: { master: { securityGroups } } });
      const ssh = [rule({ from: 22, to: 22 })];
      await vpc.apply(withRules({ ingress: ssh }, groups("sg-master", "sg-worker")));
      expect(await seen("other", master.privateIp, { port: 6443 })).toBe(other.privateIp);
      await vpc.apply(withRules({ ingress: ssh }, groups("sg-master")));
      await expectBlocked("other", master.privateIp, { port: 6443 });
      await vpc.apply(withRules({ ingress: ssh }, groups()));
      await Promise.all([expectBlocked("other", master.privateIp), expectBlocked("master", other.privateIp)]);
    });

    test("ICMP is open by type and code", async () => {
      const icmp = (from: number, to: number) => withRules({ ingress: [rule({ protocol: "icmp", from, to })] });
      const isOpen = async (state: VpcState) => {
        await vpc.apply(state);
        return ping("outside", master.publicIp);
      };
      expect(await isOpen(icmp(-1, -1))).toBe(true);
      expect(await isOpen(icmp(8, -1))).toBe(true);
      expect(await isOpen(icmp(8, 0))).toBe(true);
      expect(await isOpen(icmp(8, 1))).toBe(false);
      expect(await isOpen(icmp(13, -1))).toBe(false);
      expect(await isOpen(withRules({ ingress: [rule({ protocol: 1 })] }))).toBe(true);
      await expectBlocked("outside", master.publicIp);
    });

    test("outbound rules limit new connections, not answers", async () => {
      const egress = [rule({ from: 22, to: 22, cidrs: [`${worker.privateIp}/32`, `${OUTSIDE}/32`] })];
      await vpc.apply(withRules({ egress }));
      expect(await seen("master", worker.privateIp)).toBe(master.privateIp);
      expect(await seen("master", OUTSIDE)).toBe(master.publicIp);
      expect(await seen("other", master.privateIp, { port: 6443 })).toBe(other.privateIp);
      await Promise.all([
        expectBlocked("master", worker.privateIp, { port: 6443 }),
        expectBlocked("master", other.privateIp),
      ]);
      expect(await at("master", "dig", "+short", "+tries=1", "+time=2", "@172.31.0.2", metadata().hostname)).toBe(
        master.privateIp,
      );
    });

    test("the clients' addresses count when a load balancer preserves them", async () => {
      await vpc.apply(withRules({ ingress: [rule({ from: 6443, to: 6443, cidrs: ["203.0.113.7/32"] })] }));
      await expectBlocked("balancer", master.privateIp, { port: 6443 });
      const table = `table ip lb-test { chain source { type nat hook postrouting priority srcnat - 10; ip saddr ${balancer.privateIp} tcp dport 6443 snat to 203.0.113.7; }; }`;
      await run(["nft", table], { namespace: vpc.namespace });
      try {
        expect(await seen("balancer", master.privateIp, { port: 6443 })).toBe("203.0.113.7");
        // The router's firewall is replaced, and this table stays.
        await vpc.apply(withRules({ ingress: [rule({ from: 6443, to: 6443, cidrs: ["203.0.113.8/32"] })] }));
        await expectBlocked("balancer", master.privateIp, { port: 6443 });
      } finally {
        await run(["nft", "delete table ip lb-test"], { namespace: vpc.namespace });
      }
    });
  });

  describe("changes", () => {
    test("open connections go on, with private and public addresses", async () => {
      await vpc.apply(withRules({}));
      const targets = [worker.privateIp, worker.publicIp, OUTSIDE];
      const clients = targets.map((ip) =>
        start([...ENDS_WITH_PARENT, ...inside(paths.master), process.execPath, "-e", LONG_CLIENT, ip, "22"]),
      );
      servers.push(...clients);
      const goOn = async () => {
        for (const { output, process } of clients) {
          const before = output().length;
          await until(() => output().length > before + 3, { what: () => `goes on: ${output()}`, process, seconds: 5 });
        }
      };
      await goOn();
      await vpc.apply(
        withRules({}, { ports: { other: { publicIp: "54.0.0.88" } }, names: { "a.test": ["192.0.2.1"] } }),
      );
      await goOn();
      // As in EC2, a rule is about new connections.
      const ssh: Rule = { protocol: "tcp", from: 6443, to: 6443, cidrs: [ANYWHERE], groups: [] };
      await vpc.apply(withRules({ egress: [ssh] }));
      await goOn();
      await expectBlocked("master", worker.privateIp);
    });

    test("a refused state changes nothing", async () => {
      await vpc.apply(vpcState());
      await expect(
        vpc.apply(vpcState({ ports: { master: { subnet: "subnet-9", securityGroups: [] } } })),
      ).rejects.toThrow("the subnet of port 'master' must be one of the VPC's: subnet-0, subnet-1, got: subnet-9");
      await expect(
        vpc.apply(withRules({ ingress: [{ protocol: 999, cidrs: [ANYWHERE], groups: [] }] })),
      ).rejects.toThrow(/^nft -f -: /);
      expect(await seen("outside", master.publicIp)).toBe(OUTSIDE);
    });

    test("a detached port is silent, and comes back with an empty namespace", async () => {
      const routes: Route[] = [TO_INTERNET, { cidr: "172.22.0.0/24", target: { port: "temporary" } }];
      const state = vpcState({ routes });
      const temporary = { id: "temporary", subnet: "subnet-0", privateIp: "172.31.0.50", sourceDestCheck: false };
      const withPort = { ...state, ports: [...state.ports, temporary] };
      const namespace = await vpc.attach("temporary");
      expect(await vpc.attach("temporary")).toBe(namespace);
      await vpc.apply(withPort);
      await run(["ip", "address", "add", "172.22.0.1/32", "dev", "lo"], { namespace });
      expect(await Promise.all([ping("master", "172.31.0.50"), ping("master", "172.22.0.1")])).toEqual([true, true]);

      const program = start([...ENDS_WITH_PARENT, ...inside(namespace), "sleep", "infinity"]);
      servers.push(program);
      const { process: machine } = program;
      await until(() => readlinkSync(`/proc/${machine.pid}/ns/net`) === readlinkSync(namespace), {
        what: () => "sleep",
      });
      await vpc.detach("temporary");
      await vpc.detach("temporary");
      await expect(run(["ip", "link", "show", "eth0"], { namespace: `/proc/${machine.pid}/ns/net` })).rejects.toThrow(
        "does not exist",
      );
      machine.kill("SIGKILL");
      expect(await Promise.all([ping("master", "172.31.0.50"), ping("master", "172.22.0.1")])).toEqual([false, false]);
      await vpc.apply(withPort);

      await vpc.attach("temporary");
      expect(await Promise.all([ping("master", "172.31.0.50"), ping("master", "172.22.0.1")])).toEqual([true, false]);
      await vpc.detach("temporary");
      await vpc.apply(state);
    });
  });

  describe("the resolver", () => {
    const NAME = "ip-172-31-0-10.eu-central-1.compute.internal";
    const dig = (place: Place, ...args: string[]) =>
      at(
        place,
        "dig",
        "+tries=1",
        "+time=1",
        ...(args.some((arg) => arg.startsWith("@")) ? [] : ["@172.31.0.2"]),
        ...args,
      );
    const short = (place: Place, ...args: string[]) => dig(place, "+short", ...args);

    test("answers the names of machines and of the state, at both addresses, over UDP and TCP", async () => {
      const addresses = ["54.0.0.100", "54.0.0.101"];
      await vpc.apply(vpcState({ names: { "Api.elb.eu-central-1.amazonaws.com": addresses } }));
      const questions = [
        [NAME],
        [NAME, "@169.254.169.253"],
        ["+tcp", NAME],
        [NAME.toUpperCase()],
        ["-x", "172.31.0.10"],
      ];
      expect(await Promise.all(questions.map((question) => short("master", ...question)))).toEqual([
        ...questions.slice(1).map(() => master.privateIp),
        `${NAME}.`,
      ]);
      expect(await short("hidden", "api.elb.eu-central-1.amazonaws.com.")).toBe(addresses.join("\n"));
    });

    test("AAAA of a name that exists is empty; names that do not exist, do not exist", async () => {
      await vpc.apply(vpcState());
      const header = async (...args: string[]) =>
        /status: (\w+).*?ANSWER: (\d+)/s
          .exec(await dig("master", ...args))
          ?.slice(1)
          .join(" ");
      expect(await Promise.all([header("AAAA", NAME), header("MX", NAME), header("compute.internal")])).toEqual(
        Array(3).fill("NOERROR 0"),
      );
      const unknown = [["example.com"], ["ip-172-31-0-99.eu-central-1.compute.internal"], ["-x", "172.31.0.99"]];
      expect(await Promise.all(unknown.map((name) => header(...name)))).toEqual(Array(3).fill("NXDOMAIN 0"));
    });

    test("a long answer is cut over UDP, and whole over TCP and with EDNS", async () => {
      const many = Array.from({ length: 40 }, (_, index) => `192.0.2.${index}`);
      await vpc.apply(vpcState({ names: { "many.test": many } }));
      expect(await dig("master", "+noedns", "+ignore", "many.test")).toMatch(/flags: qr tc rd ra; QUERY: 1, ANSWER: 0/);
      for (const option of ["+noedns", "+bufsize=1232", "+tcp"]) {
        expect((await short("master", option, "many.test")).split("\n")).toEqual(many);
      }
    });

    test("answers only machines' own addresses, and nobody if the VPC has no DNS support", async () => {
      await vpc.apply(vpcState({ routes: [TO_INTERNET, { cidr: "172.20.0.0/24", target: { port: "worker" } }] }));
      expect(await dig("pod", NAME)).toMatch(/timed out|no servers could be reached/);
      expect(await short("worker", NAME)).toBe(master.privateIp);
      // A question with the address of another machine would bring that machine an answer that it did not ask for.
      await at("worker", "ip", "address", "add", `${master.privateIp}/32`, "dev", "lo");
      expect(await counted("master", "udp sport 53", () => dig("worker", "-b", master.privateIp, NAME))).toBe(0);
      await at("worker", "ip", "address", "del", `${master.privateIp}/32`, "dev", "lo");
      await vpc.apply(vpcState({ dns: false }));
      expect(await dig("master", NAME)).toMatch(/timed out|no servers could be reached/);
    });
  });

  describe("the metadata service", () => {
    const TOKEN = "X-aws-ec2-metadata-token";
    const forMaster = (changes: Partial<Metadata> = {}) => ({ ports: { master: { metadata: metadata(changes) } } });
    /** The status and the body of an answer. */
    const get = async (place: Place, path: string, ...options: string[]) => {
      const output = await at(place, "curl", "-s", "-m", "1", "-w", "\n%{http_code}", ...options, `${IMDS}${path}`);
      const lines = output.split("\n");
      const status = Number(lines.pop());
      return status === 200 ? lines.join("\n") : status;
    };
    const newToken = (place: Place, seconds: string, ...options: string[]) =>
      get(place, "/latest/api/token", "-X", "PUT", "-H", `${TOKEN}-ttl-seconds: ${seconds}`, ...options);

    test("tells a machine about itself", async () => {
      await vpc.apply(vpcState(forMaster({ keyName: "lab", publicKey: "ssh-rsa AAAA lab", securityGroups: ["lab"] })));
      const answers = {
        "/": expect.stringMatching(/^1\.0\n.*\nlatest$/s),
        "/latest/": "dynamic/\nmeta-data/\nuser-data",
        "/latest/meta-data/": expect.stringMatching(/^ami-id\n.*\nlocal-ipv4\n.*\nplacement\/\n/s),
        "/latest/meta-data": expect.stringMatching(/^ami-id\n/),
        "/latest/meta-data/instance-id": "i-1",
        "/2021-03-23/meta-data/instance-id": "i-1",
        "/latest/meta-data/local-ipv4": master.privateIp,
        "/latest/meta-data/public-ipv4": master.publicIp,
        "/latest/meta-data/placement/": "availability-zone\nregion",
        "/latest/meta-data/placement/region": "eu-central-1",
        "/latest/meta-data/public-keys/": "0=lab",
        "/latest/meta-data/public-keys/0/": "openssh-key",
        "/latest/meta-data/public-keys/0/openssh-key": "ssh-rsa AAAA lab",
        "/latest/meta-data/security-groups": "lab",
        "/latest/meta-data/mac": /ether (\S+)/.exec(await at("master", "ip", "link", "show", "eth0"))?.[1],
        "/latest/user-data": "#!/bin/sh\n",
        "/latest/user-data/": "#!/bin/sh\n",
        "/latest/meta-data/tags/": 404,
        "/latest/meta-data/public-hostname": 404,
        "/latest/meta-data/instance-id/": 404,
        "/latest/meta-data/constructor": 404,
        "/nothing": 404,
      };
      const paths = Object.keys(answers);
      const got = await Promise.all(paths.map((path) => get("master", path)));
      expect(Object.fromEntries(paths.map((path, index) => [path, got[index]]))).toEqual(answers);
      const document = await get("master", "/latest/dynamic/instance-identity/document");
      expect(JSON.parse(String(document))).toMatchObject({
        instanceId: "i-1",
        region: "eu-central-1",
        imageId: "ami-1",
      });
    });

    test("what a machine does not have is not found", async () => {
      const { ports } = forMaster({ userData: "" });
      await vpc.apply(vpcState({ ports: { master: { ...ports.master, publicIp: undefined } } }));
      const missing = ["/latest/user-data", "/latest/meta-data/public-ipv4", "/latest/meta-data/public-keys/"];
      expect(await Promise.all(missing.map((path) => get("master", path)))).toEqual([404, 404, 404]);
      expect(await get("worker", "/latest/meta-data/")).toBe(404);
    });

    test("a session token belongs to one machine and expires", async () => {
      const worker = { metadata: metadata({ instanceId: "i-2" }) };
      const { master } = forMaster({ tokens: "required" }).ports;
      await vpc.apply(vpcState({ ports: { master, worker } }));
      const path = "/latest/meta-data/instance-id";
      const token = await newToken("master", "21600");
      const short = await newToken("master", "1");
      expect(String(token)).toHaveLength(56);
      expect(await get("master", path, "-H", `${TOKEN}: ${token}`)).toBe("i-1");
      expect(await get("master", path)).toBe(401);
      // A machine that needs no token must not send a wrong one.
      expect(await get("worker", path)).toBe("i-2");
      expect(await get("worker", path, "-H", `${TOKEN}: ${token}`)).toBe(401);
      expect(await get("master", path, "-H", `${TOKEN}: nonsense`)).toBe(401);
      await new Promise((resolve) => setTimeout(resolve, 1000));
      expect(await get("master", path, "-H", `${TOKEN}: ${short}`)).toBe(401);
    });

    test("refuses wrong requests as EC2 does", async () => {
      await vpc.apply(vpcState(forMaster()));
      const lifetimes = ["0", "21601", "-1", "1e3", ""];
      expect(await Promise.all(lifetimes.map((seconds) => newToken("master", seconds)))).toEqual([
        400, 400, 400, 400, 400,
      ]);
      expect(await get("master", "/latest/api/token", "-X", "PUT")).toBe(400);
      expect(await newToken("master", "60", "-H", "X-Forwarded-For: 192.0.2.1")).toBe(403);
      expect(await get("master", "/latest/api/token")).toBe(405);
      expect(await get("master", "/latest/meta-data/", "-X", "POST")).toBe(405);
      await vpc.apply(vpcState(forMaster({ enabled: false })));
      expect(await get("master", "/latest/meta-data/instance-id")).toBe(403);
      expect(await newToken("master", "60")).toBe(403);
    });

    test("does not answer a pod's address; a pod behind a machine's address gets a token only with two hops", async () => {
      const hops = (hopLimit: number) =>
        vpcState({ ports: { worker: { metadata: metadata({ instanceId: "i-2", hopLimit }) } } });
      await vpc.apply(hops(2));
      expect(await get("pod", "/latest/meta-data/instance-id")).toBe(0);
      const table =
        "table ip hide { chain post { type nat hook postrouting priority srcnat; oifname eth0 masquerade; }; }";
      await run(["nft", table], { namespace: paths.worker });
      try {
        expect(await newToken("pod", "60")).toEqual(expect.stringMatching(/^\S{56}$/));
        await vpc.apply(hops(1));
        expect(await newToken("pod", "60")).toBe(0);
        expect(await newToken("worker", "60")).toEqual(expect.stringMatching(/^\S{56}$/));
        // The limit is for tokens. Version 1 has none.
        expect(await get("pod", "/latest/meta-data/instance-id")).toBe("i-2");
      } finally {
        await run(["nft", "delete table ip hide"], { namespace: paths.worker });
      }
    });
  });

  describe("several VPCs", () => {
    test("VPCs with the same private addresses reach each other by public ones; close leaves nothing", async () => {
      await vpc.apply(vpcState());
      const second = await Vpc.open({ outside: outside.path, id: "vpc-2", log: (line) => problems.push(line) });
      try {
        await second.attach("master");
        await second.apply(vpcState({ ports: { master: { publicIp: "54.0.1.10" } } }));
        expect(await seen("master", worker.privateIp)).toBe(master.privateIp);
        expect(await ping("master", "54.0.1.10")).toBe(true);
      } finally {
        await second.close();
      }
      expect(await at("outside", "ip", "-o", "route", "show", "54.0.1.10")).toBe("");
      expect((await at("outside", "ip", "-o", "link")).split("\n")).toHaveLength(2);
      expect(await seen("master", OUTSIDE)).toBe(master.publicIp);
    });

    test("a killed program leaves no process, no namespace and no interface", async () => {
      const program = `
        (async () => {
          const { Vpc } = require(${JSON.stringify(join(__dirname, "../../cloud/vpc/vpc"))});
          const vpc = await Vpc.open({ outside: ${JSON.stringify(outside.path)}, id: "vpc-3", log: console.error });
          await vpc.apply(${JSON.stringify(vpcState())});
          const port = await vpc.attach("master");
          console.log(JSON.stringify([vpc.namespace, port]));
        })();
        setInterval(() => {}, 1000);`;
      const killed = start([process.execPath, "--import", "tsx", "-e", program]);
      await until(() => killed.output().endsWith("]\n"), { what: killed.output, process: killed.process });
      const namespaces = (JSON.parse(killed.output()) as string[]).map((path) => readlinkSync(path));
      expect(processesIn(...namespaces).length).toBeGreaterThan(2);
      killed.process.kill("SIGKILL");
      await until(() => processesIn(...namespaces).length === 0, {
        what: () => `processes end: ${processesIn(...namespaces)}`,
      });
      const links = () => run(["sh", "-c", "test $(ip -o link | wc -l) = 2"], { namespace: outside.path });
      let isGone = false;
      const look = setInterval(
        () =>
          links().then(
            () => (isGone = true),
            () => {},
          ),
        50,
      );
      await until(() => isGone, { what: () => "the interface is removed" }).finally(() => clearInterval(look));
    });
  });
});

import { decode, encode, type Packet } from "dns-packet";
import fc from "fast-check";
import { firewall } from "../../cloud/vpc/firewall";
import { type MetadataMachine, metadataService } from "../../cloud/vpc/metadata";
import { namesOf, resolve } from "../../cloud/vpc/resolver";
import { changes, portConfiguration, routerSettings } from "../../cloud/vpc/routes";
import { hostName, interfaceName, macAddress, type Port, type Rule, type VpcState } from "../../cloud/vpc/state";

const MACHINE: Port = {
  id: "eni-0123456789abcdef0",
  subnet: "subnet-0",
  privateIp: "10.1.2.10",
  publicIp: "54.0.0.10",
  sourceDestCheck: true,
  securityGroups: ["sg-1", "sg-deleted"],
};
const BALANCER: Port = { id: "eni-lb", subnet: "subnet-0", privateIp: "10.1.2.20", sourceDestCheck: false };

const STATE: VpcState = {
  cidrs: ["10.1.0.0/16"],
  region: "eu-central-1",
  dns: true,
  subnets: [{ id: "subnet-0", cidr: "10.1.2.0/24", routeTable: "rtb-0" }],
  ports: [MACHINE, BALANCER],
  routeTables: [
    {
      id: "rtb-0",
      routes: [
        { cidr: "10.1.0.0/16", target: "local" },
        { cidr: "0.0.0.0/0", target: "gateway" },
        { cidr: "172.20.0.0/24", target: { port: MACHINE.id } },
        { cidr: "172.20.1.0/24", target: { port: "eni-unknown" } },
      ],
    },
  ],
  securityGroups: [{ id: "sg-1", ingress: [], egress: [] }],
  names: {},
};

/** The lines of a rule in nftables' language. */
function linesOf(rule: Partial<Rule>): string[] {
  const ingress: Rule[] = [{ protocol: "tcp", cidrs: ["10.0.0.0/8"], groups: [], ...rule }];
  const text = firewall({ ...STATE, securityGroups: [{ id: "sg-1", ingress, egress: [] }] });
  return chain(text, "ingress-sg-1");
}

/** The lines of a chain. */
function chain(text: string, name: string): string[] {
  const [, content = ""] = new RegExp(`chain ${name} \\{\\n([^}]*)\\}`).exec(text) ?? [];
  return content.split("\n").flatMap((line) => line.trim() || []);
}

describe("names", () => {
  test("an interface's name is short, and differs between ids", () => {
    const ids = ["eni-0123456789abcdef0", "eni-0123456789abcdef1", "a"];
    const names = ids.map((id) => interfaceName("p", id));
    expect(new Set(names).size).toBe(ids.length);
    for (const name of names) expect(name.length).toBeLessThanOrEqual(15);
  });

  test("host names are EC2's", () => {
    expect(hostName("172.31.0.10", "eu-central-1")).toBe("ip-172-31-0-10.eu-central-1.compute.internal");
    expect(hostName("172.31.0.10", "us-east-1")).toBe("ip-172-31-0-10.ec2.internal");
  });

  test("a MAC address is the metadata's, or a local one", () => {
    expect(macAddress(BALANCER)).toMatch(/^02(:[0-9a-f]{2}){5}$/);
  });
});

describe("the firewall", () => {
  test.each<[string, Partial<Rule>, string[]]>([
    ["every protocol", { protocol: "-1" }, ["ip saddr 10.0.0.0/8 accept"]],
    ["a range", { from: 30000, to: 32767 }, ["ip saddr 10.0.0.0/8 tcp dport 30000-32767 accept"]],
    ["one port", { protocol: "udp", from: 53, to: 53 }, ["ip saddr 10.0.0.0/8 udp dport 53-53 accept"]],
    ["every port", { from: 0, to: 65535 }, ["ip saddr 10.0.0.0/8 meta l4proto tcp accept"]],
    ["no ports", { protocol: "udp" }, ["ip saddr 10.0.0.0/8 meta l4proto udp accept"]],
    ["a number of TCP", { protocol: 6, from: 22, to: 22 }, ["ip saddr 10.0.0.0/8 tcp dport 22-22 accept"]],
    ["another number", { protocol: 4 }, ["ip saddr 10.0.0.0/8 meta l4proto 4 accept"]],
    ["ICMP", { protocol: "icmp", from: -1, to: -1 }, ["ip saddr 10.0.0.0/8 meta l4proto icmp accept"]],
    ["a type of ICMP", { protocol: "icmp", from: 8, to: -1 }, ["ip saddr 10.0.0.0/8 icmp type 8 accept"]],
    ["a code of ICMP", { protocol: 1, from: 3, to: 4 }, ["ip saddr 10.0.0.0/8 icmp type 3 icmp code 4 accept"]],
    [
      "CIDRs that overlap, a group, and a group that does not exist",
      { protocol: "-1", cidrs: ["0.0.0.0/0", "10.0.0.0/8"], groups: ["sg-1", "sg-deleted"] },
      ["ip saddr 0.0.0.0/0 accept", "ip saddr 10.0.0.0/8 accept", "ip saddr @members-sg-1 accept"],
    ],
    ["nobody", { cidrs: [] }, []],
  ])("a rule for %s", (_, rule, lines) => {
    expect(linesOf(rule)).toEqual(lines);
  });

  test("replaces the table at once", () => {
    expect(firewall(STATE)).toMatch(/^table ip vpc\ndelete table ip vpc\ntable ip vpc \{\n.*\n\}\n$/s);
  });

  test("a port jumps to its groups that exist, and drops the rest; a port without a list is not filtered", () => {
    const text = firewall(STATE);
    const name = interfaceName("p", MACHINE.id);
    expect(chain(text, `ingress-${name}`)).toEqual(["jump ingress-sg-1", "drop"]);
    expect(text).toContain(`iifname vmap { ${name} : jump egress-${name} }`);
    expect(text).not.toContain(`egress-${interfaceName("p", BALANCER.id)}`);
  });
});

describe("the routes", () => {
  const settings = (attached: readonly string[], state = STATE) =>
    routerSettings(
      state,
      (id) => attached.includes(id),
      () => 1001,
    );
  const device = interfaceName("p", MACHINE.id);

  test("a route to a port needs the port", () => {
    const route = (attached: readonly string[]) => settings(attached).get("route del 172.20.0.0/24 table 1001")?.set;
    expect(route([MACHINE.id])).toBe(`route replace 172.20.0.0/24 via 10.1.2.10 dev ${device} onlink table 1001`);
    expect(route([])).toBe("route replace blackhole 172.20.0.0/24 table 1001");
  });

  test("an equal state changes nothing; a port that goes is removed, and its routes become black holes", () => {
    const before = settings([MACHINE.id, BALANCER.id]);
    expect(changes(before, settings([MACHINE.id, BALANCER.id]))).toEqual({ set: [], unset: [] });
    expect(changes(before, settings([BALANCER.id]))).toEqual({
      set: ["route replace blackhole 172.20.0.0/24 table 1001"],
      unset: [
        `neigh del 10.1.2.10 dev ${device}`,
        "route del 10.1.2.10 table 1000",
        `rule del iif ${device} lookup 1001 pref 2000`,
      ],
    });
  });

  test("a port is configured as by DHCP", () => {
    expect(portConfiguration(BALANCER, STATE).slice(1)).toEqual([
      "address flush dev eth0",
      "address add 10.1.2.20/24 brd + dev eth0",
      "route replace default via 10.1.2.1 dev eth0",
    ]);
  });
});

describe("the resolver", () => {
  const names = namesOf({ "a.test": ["10.1.2.10"] });
  const ask = (packet: Packet) => {
    const answer = resolve(encode({ type: "query", id: 7, ...packet }), names);
    return answer && (decode(answer) as ReturnType<typeof decode> & { rcode: string });
  };
  const question = { type: "A", name: "A.test" } as const;

  test("an answer repeats the question, its id and whether recursion is desired", () => {
    expect(ask({ flags: 0x100, questions: [question] })).toMatchObject({
      id: 7,
      rcode: "NOERROR",
      flag_qr: true,
      flag_rd: true,
      questions: [question],
      answers: [{ name: "A.test", data: "10.1.2.10", ttl: 60 }],
    });
  });

  test("other operations, no question and several questions are refused", () => {
    expect(ask({ flags: 5 << 11, questions: [question] })?.rcode).toBe("NOTIMP");
    expect(ask({ questions: [] })?.rcode).toBe("FORMERR");
    expect(ask({ questions: [question, question] })?.rcode).toBe("FORMERR");
  });

  test("a type that DNS has got later is answered too", () => {
    // The type HTTPS, number 65, which browsers and curl ask for.
    const query = encode({ type: "query", id: 7, questions: [question] });
    query.writeUInt16BE(65, query.length - 4);
    expect(decode(resolve(query, names) as Buffer)).toMatchObject({ rcode: "NOERROR", answers: [] });
  });

  test("no bytes make it fail", () => {
    const query = encode({ type: "query", id: 7, flags: 0x100, questions: [question] });
    const change = fc.record({ at: fc.nat(query.length - 1), byte: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 6 }), fc.uint8Array({ maxLength: 40 }), (list, tail) => {
        const bytes = Buffer.concat([query, tail]);
        for (const { at, byte } of list) bytes[at] = byte;
        resolve(bytes, names);
      }),
      { seed: 1, numRuns: 2000 },
    );
  });

  test("anything that is no question gets no answer", () => {
    expect(ask({ type: "response", questions: [question] })).toBeUndefined();
    expect(resolve(Buffer.from("no DNS"), names)).toBeUndefined();
    expect(resolve(Buffer.alloc(0), names)).toBeUndefined();
  });
});

describe("the metadata service", () => {
  const machine: MetadataMachine = {
    instanceId: "i-1",
    hostname: "a.test",
    instanceType: "t3.micro",
    zone: "eu-central-1a",
    region: "eu-central-1",
    userData: "",
    tokens: "required",
    hopLimit: 1,
    enabled: true,
    privateIp: "10.1.2.10",
    mac: "02:00:00:00:00:01",
    subnetCidr: "10.1.2.0/24",
    vpcCidrs: ["10.1.0.0/16"],
  };

  test("a token is valid until the end of its lifetime, for its machine", () => {
    let now = 1_000_000;
    const answer = metadataService(() => now);
    const ttl = { "x-aws-ec2-metadata-token-ttl-seconds": "10" };
    const token = answer({ method: "PUT", url: "/latest/api/token", headers: ttl }, machine).body;
    const status = (of = machine, value = token) =>
      answer({ method: "GET", url: "/latest/meta-data/", headers: { "x-aws-ec2-metadata-token": value } }, of).status;
    now += 9_999;
    expect(status()).toBe(200);
    expect(status({ ...machine, instanceId: "i-2" })).toBe(401);
    expect(status(machine, `${token.startsWith("A") ? "B" : "A"}${token.slice(1)}`)).toBe(401);
    expect(status(machine, token.slice(1))).toBe(401);
    now += 1;
    expect(status()).toBe(401);
  });

  test("paths are looked up in the service's tree only", () => {
    const answer = metadataService();
    const get = (url: string) => answer({ method: "GET", url, headers: {} }, { ...machine, tokens: "optional" });
    expect(get("/latest/meta-data/network/interfaces/macs/").body).toBe("02:00:00:00:00:01/");
    expect(get("/latest/meta-data/mac?x=1").body).toBe("02:00:00:00:00:01");
    for (const path of ["__proto__", "toString", "mac/length", "../user-data"]) {
      expect(get(`/latest/meta-data/${path}`).status).toBe(404);
    }
  });
});

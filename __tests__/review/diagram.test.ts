import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { renderDiagram } from "../../review/diagram";
import type { ClusterSettingsInput } from "../../settings/schema";
import { synthesizeCluster } from "../../testing/synthesize";

const PROJECT = join(__dirname, "../..");

const diagram = (settings: ClusterSettingsInput = {}) => renderDiagram(synthesizeCluster(settings));
/** The lines of a diagram, without their indentation. */
const lines = (settings: ClusterSettingsInput) =>
  diagram(settings)
    .split("\n")
    .map((line) => line.trim());

const LARGE: ClusterSettingsInput = {
  workers: { count: 40 },
  network: {
    subnets: [
      { cidrBlock: "172.31.0.0/24", availabilityZone: "eu-central-1a" },
      { cidrBlock: "172.31.1.0/24", availabilityZone: "eu-central-1b" },
    ],
  },
};
const CLOSED: ClusterSettingsInput = {
  access: { ssh: ["203.0.113.7/32"], api: ["203.0.113.0/24"], icmp: [] },
  podNetwork: { routed: false },
};

test("draws the machines of the default cluster in their subnet, with the files that are copied to them", () => {
  expect(diagram()).toContain(`
      subgraph subnet-0["subnet 172.31.0.0/24"]
        subgraph masters-subnet-0-from-0["3 masters"]
          master-0["master-0<br/>172.31.0.10"]
          master-1["master-1<br/>172.31.0.11"]
          master-2["master-2<br/>172.31.0.12"]
          masters-subnet-0-from-0-files[["ca.pem<br/>ca-key.pem<br/>service-account.pem<br/>service-account-key.pem<br/>master-kubernetes.pem<br/>master-kubernetes-key.pem"]]
        end
        subgraph workers-subnet-0-from-0["3 workers"]
          worker-0["worker-0<br/>172.31.0.20<br/>pods 172.20.0.0/24"]
          worker-1["worker-1<br/>172.31.0.21<br/>pods 172.20.1.0/24"]
          worker-2["worker-2<br/>172.31.0.22<br/>pods 172.20.2.0/24"]
          workers-subnet-0-from-0-files[["ca.pem<br/>NAME.pem<br/>NAME-key.pem"]]
        end
      end
`);
});

/** The arrows of a diagram, with names instead of ids. */
function arrows(settings: ClusterSettingsInput): string[] {
  const all = lines(settings);
  const names = new Map(
    all.flatMap((line) => {
      const [, id, name] = /^([\w-]+)\(\["(.*)"\]\)$/.exec(line) ?? [];
      return id === undefined ? [] : [[id, name] as const];
    }),
  );
  return all.flatMap((line) => {
    const [, from = "", label, to = ""] = /^([\w-]+) -- "(.*)" --> ([\w-]+)$/.exec(line) ?? [];
    return label === undefined
      ? []
      : [`${names.get(from) ?? from} > ${names.get(to) ?? to}: ${label.split("<br/>").join(", ")}`];
  });
}

test("draws exactly the allowed sources of each port in the default cluster", () => {
  expect(arrows({})).toEqual([
    "anywhere > load-balancer: TCP 6443",
    "anywhere > security-group: TCP 6443, ICMP, TCP 22",
    "172.31.0.0/24 > security-group: TCP 2379 to 2380, TCP 30000 to 32767",
    "172.20.0.0/16 > security-group: everything",
    "security-group > anywhere: everything",
    "load-balancer > masters-subnet-0-from-0: TCP 6443",
  ]);
  expect(lines({})).toContain('subgraph security-group["security group; between its members: everything"]');
});

test("draws the allowed sources of each port with closed access", () => {
  expect(arrows(CLOSED).sort()).toEqual([
    "172.31.0.0/24 > security-group: TCP 6443, TCP 2379 to 2380, TCP 30000 to 32767",
    "203.0.113.0/24 > load-balancer: TCP 6443",
    "203.0.113.0/24 > security-group: TCP 6443",
    "203.0.113.7/32 > security-group: TCP 22",
    "load-balancer > masters-subnet-0-from-0: TCP 6443",
    "security-group > anywhere: everything",
    "the machines' public addresses > load-balancer: TCP 6443",
    "the machines' public addresses > security-group: TCP 6443",
  ]);
  expect(lines(CLOSED)).toContain('subgraph security-group["security group"]');
});

test("draws a machine with other files separately, and a source of another kind with its addresses", () => {
  const json = JSON.parse(JSON.stringify(synthesizeCluster()));
  const { null_resource: copies, aws_vpc_security_group_ingress_rule: rules } = json.resource;
  copies["more-worker-1"] = JSON.parse(
    JSON.stringify(copies["pems-master-0"]).replaceAll("aws_instance.master-0", "aws_instance.worker-1"),
  );
  rules.six = {
    security_group_id: rules["node-icmp-from-0-0-0-0-0"].security_group_id,
    cidr_ipv6: "::/0",
    ip_protocol: "-1",
  };
  const drawn = renderDiagram(json);
  expect(drawn).toMatch(
    /"2 workers"\]\n +worker-0\[.*\n +worker-2\[.*\n +\S+\[\["ca.pem<br\/>NAME.pem<br\/>NAME-key.pem"/,
  );
  expect(drawn).toMatch(/"1 worker"\]\n +worker-1\[.*\n +\S+\[\["[^"]*ca-key.pem/);
  expect(drawn).toContain('from-0(["::/0"])');
});

test("draws many machines as one box per subnet, from the first to the last", () => {
  expect(lines(LARGE).filter((line) => line.includes("worker-"))).toEqual([
    'workers-subnet-0-from-0-all["worker-0 to worker-38<br/>172.31.0.20 to 172.31.0.58<br/>pods 172.20.0.0/24 to 172.20.38.0/24"]',
    'workers-subnet-1-from-1-all["worker-1 to worker-39<br/>172.31.1.21 to 172.31.1.59<br/>pods 172.20.1.0/24 to 172.20.39.0/24"]',
  ]);
  expect(arrows(LARGE)).toEqual(
    expect.arrayContaining([
      "load-balancer > masters-subnet-0-from-0: TCP 6443",
      "load-balancer > masters-subnet-1-from-1: TCP 6443",
    ]),
  );
});

test("Mermaid's parser accepts the diagrams, and the pictures of the pages", () => {
  const pages = [
    "docs/outputs.md",
    ...readdirSync(join(PROJECT, "docs"), { recursive: true, encoding: "utf8" }).map((name) => `docs/${name}`),
  ];
  const pictures = pages
    .filter((page) => page.endsWith(".md"))
    .flatMap((page) =>
      [...readFileSync(join(PROJECT, page), "utf8").matchAll(/```mermaid\n(.*?)```/gs)].map(([, text]) => text),
    );
  expect(pictures.length).toBeGreaterThan(1);
  const none: ClusterSettingsInput = { workers: { count: 0 } };
  const all = [...pictures, ...[LARGE, CLOSED, none].map(diagram), 'flowchart LR\n  a["no end'];
  const problems = JSON.parse(
    execFileSync(process.execPath, [join(PROJECT, "testing/parse-mermaid.mjs")], {
      input: JSON.stringify(all),
      encoding: "utf8",
    }),
  );
  expect(problems).toEqual([...all.slice(1).map(() => null), expect.stringContaining("Parse error")]);
});

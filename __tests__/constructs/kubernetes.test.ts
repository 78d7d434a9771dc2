import { argumentsOf, type Block, blockAt, resourcesOf, type TerraformJson } from "../../cloud/terraform-json";
import { readDistributionScript } from "../../model/distribution";
import type { ClusterSettingsInput } from "../../settings/schema";
import { synthesizeCluster } from "../../testing/synthesize";

const KUBERNETES = { version: "1.37.2" };
const MASTERS = ["master-0", "master-1", "master-2"];
const WORKERS = ["worker-0", "worker-1", "worker-2"];
const json = synthesizeCluster({ kubernetes: KUBERNETES });

const step = (name: string, of: TerraformJson = json) => argumentsOf(blockAt(of, `null_resource.${name}`));

/** Everything that a step waits for, directly or not. */
function before(name: string, of = json): string[] {
  const seen = new Set<string>();
  const visit = (address: string) => {
    const [type, id] = address.split(".") as [string, string];
    const block = resourcesOf(of, type)?.[id];
    const found = JSON.stringify(block ?? {}).matchAll(/(null_resource|aws_lb|aws_lb_listener)\.([a-z0-9-]+)/g);
    for (const [, kind, other] of found) {
      const next = `${kind}.${other}`;
      if (next === address || seen.has(next)) continue;
      seen.add(next);
      visit(next);
    }
  };
  visit(`null_resource.${name}`);
  return [...seen].sort();
}

/** The script of a copy, read back. */
function script({ provisioner }: Block) {
  const read = readDistributionScript(provisioner[2]["remote-exec"].inline);
  if (read === undefined) throw new Error("it is not a copy");
  return read;
}

/** The content of a file that a step writes. */
function content(name: string, path: string): string {
  const block = step(name);
  const index = script(block).files.findIndex((file) => file.path === path);
  const [, { file }] = block.provisioner;
  const line = file.content.split("\n")[index] as string;
  return line;
}

test("the steps of a cluster with Kubernetes are these, and no machine has another address", () => {
  const names = Object.keys(resourcesOf(json, "null_resource")).sort();
  const all = [...MASTERS, ...WORKERS];
  expect(names).toEqual(
    [
      "addons",
      "check",
      "etcd-founding",
      ...["quorum", "etcd"].flatMap((kind) => MASTERS.map((id) => `${kind}-${id}`)),
      ...WORKERS.map((id) => `join-${id}`),
      ...["kubernetes", "pems", "programs"].flatMap((kind) => all.map((id) => `${kind}-${id}`)),
    ].sort(),
  );
});

test("the programs of a machine wait for nothing, so that they are downloaded while AWS makes the load balancer", () => {
  for (const id of [...MASTERS, ...WORKERS]) {
    expect(before(`programs-${id}`).filter((each) => /^(null_resource|aws_lb|tls_(self|locally))/.test(each))).toEqual(
      [],
    );
  }
});

test("no member of etcd starts before every control plane machine is prepared", () => {
  for (const id of MASTERS) {
    expect(before(`etcd-${id}`)).toEqual(expect.arrayContaining(MASTERS.map((each) => `null_resource.pems-${each}`)));
  }
});

test("no file in use changes before every control plane machine has agreed", () => {
  for (const id of [...MASTERS, ...WORKERS]) {
    expect(step(`pems-${id}`).depends_on).toEqual(
      expect.arrayContaining([
        `null_resource.programs-${id}`,
        ...MASTERS.map((each) => `null_resource.quorum-${each}`),
      ]),
    );
  }
});

/** The steps of one kind that a step waits for. */
const earlier = (name: string, kind: string, of = json) =>
  before(name, of)
    .filter((each) => /-(master|worker)-\d+$/.test(each) && each.startsWith(`null_resource.${kind}-`))
    .map((each) => each.slice(`null_resource.${kind}-`.length));

test("control plane machines take their step one after the other", () => {
  MASTERS.forEach((id, index) => {
    expect(earlier(`kubernetes-${id}`, "kubernetes")).toEqual(MASTERS.slice(0, index));
    expect(earlier(`kubernetes-${id}`, "etcd")).toEqual(MASTERS);
  });
});

test("workers join side by side after the control plane, and before any of them is changed", () => {
  for (const id of WORKERS) {
    expect(earlier(`join-${id}`, "kubernetes")).toEqual(MASTERS);
    expect(earlier(`join-${id}`, "join")).toEqual([]);
    expect(earlier(`kubernetes-${id}`, "join")).toEqual(WORKERS);
    expect(before(`kubernetes-${id}`)).toContain("null_resource.addons");
  }
});

test.each([
  [undefined, [["worker-0"], ["worker-1"], ["worker-2"], ["worker-3"], ["worker-4"]]],
  [1, [["worker-0"], ["worker-1"], ["worker-2"], ["worker-3"], ["worker-4"]]],
  [2, [["worker-0", "worker-1"], ["worker-2", "worker-3"], ["worker-4"]]],
  [9, [["worker-0", "worker-1", "worker-2", "worker-3", "worker-4"]]],
])("with maxUnavailable %s, workers are changed in these waves: %j", (maxUnavailable, waves) => {
  const five = synthesizeCluster({
    workers: { count: 5 },
    kubernetes: { ...KUBERNETES, rollingUpdate: { maxUnavailable } },
  });
  waves.forEach((wave, index) => {
    for (const id of wave) {
      expect(earlier(`kubernetes-${id}`, "kubernetes", five)).toEqual([...MASTERS, ...waves.slice(0, index).flat()]);
    }
  });
});

test("the check is last, and is repeated after each change of a worker", () => {
  expect(before("check")).toEqual(
    expect.arrayContaining([...WORKERS.map((id) => `null_resource.kubernetes-${id}`), "null_resource.addons"]),
  );
  for (const id of WORKERS) expect(step("check").triggers.steps).toContain(`null_resource.kubernetes-${id}.id`);
});

test("the founding records its machines once", () => {
  const founding = step("etcd-founding");
  expect(founding.lifecycle).toEqual({ ignore_changes: ["triggers"] });
  for (const id of MASTERS) expect(founding.triggers.machines).toContain(`aws_instance.${id}.id`);
  // A machine asks whether it is one of the recorded, not of the present machines.
  expect(content("pems-master-1", "/usr/local/lib/kubernetes/facts")).toMatch(
    /contains\(split\(.*null_resource\.etcd-founding\.triggers.*aws_instance\.master-1\.id\)/,
  );
});

/** The names of a machine's steps, without the download of programs. */
const stepsOf = (id: string) =>
  [...(id.startsWith("master") ? ["quorum", "pems", "etcd"] : ["pems", "join"]), "kubernetes"].map(
    (kind) => `${kind}-${id}`,
  );

const versions = (id: string) => ({
  kubernetes: "1.37.2",
  ...(id.startsWith("master") ? { etcd: "3.7.3" } : { containerd: "2.4.2", runc: "1.5.2" }),
});

test("the triggers of a step are readable: versions, and a hash for each kind of change", () => {
  for (const id of [...MASTERS, ...WORKERS]) {
    const machine = `\${aws_instance.${id}.id}`;
    const files = expect.stringMatching(/^\$\{sha256\(/);
    expect(step(`programs-${id}`).triggers).toEqual({ machine, ...versions(id), files });
    for (const name of stepsOf(id)) {
      const { copies, ...triggers } = step(name).triggers;
      expect(triggers).toEqual({ machine, ...versions(id), config: files, certificates: files });
      // A step without files of its own is repeated after each copy of the machine's files.
      const isCommand = !/^(quorum|pems)-/.test(name);
      expect(copies).toBe(
        isCommand ? `\${join(" ", [null_resource.programs-${id}.id, null_resource.pems-${id}.id])}` : undefined,
      );
    }
  }
});

/** The names of the triggers in which the steps of a machine differ between two clusters. */
function changedTriggers(id: string, other: TerraformJson): string[] {
  const changed = stepsOf(id).map((name) => {
    const [one, two] = [step(name), step(name, other)].map(({ triggers }) => triggers as Record<string, unknown>);
    return Object.keys(two ?? {}).filter((trigger) => one?.[trigger] !== two?.[trigger]);
  });
  // All steps of a machine have the same.
  for (const each of changed) expect(each.sort()).toEqual(changed[0]);
  return changed[0] ?? [];
}

test.each<[string, ClusterSettingsInput, string[], string[]]>([
  ["version of Kubernetes", { kubernetes: { version: "1.37.1" } }, ["kubernetes"], ["kubernetes"]],
  ["version of etcd", { kubernetes: { ...KUBERNETES, components: { etcd: "3.7.2" } } }, ["etcd"], []],
  ["version of containerd", { kubernetes: { ...KUBERNETES, components: { containerd: "2.4.1" } } }, [], ["containerd"]],
  ["version of runc", { kubernetes: { ...KUBERNETES, components: { runc: "1.4.3" } } }, [], ["runc"]],
  ["address of a mirror", { kubernetes: { ...KUBERNETES, downloads: "http://a" } }, [], []],
  ["flag of kube-proxy", { kubernetes: KUBERNETES, podNetwork: { cidrBlock: "172.20.0.0/17" } }, [], ["config"]],
  ["flag", { kubernetes: KUBERNETES, serviceNetwork: { cidrBlock: "10.32.0.0/24" } }, ["config"], ["config"]],
  ["number of workers", { kubernetes: KUBERNETES, workers: { count: 4 } }, [], []],
  ["number of waves", { kubernetes: { ...KUBERNETES, rollingUpdate: { maxUnavailable: 3 } } }, [], []],
])("another %s changes only its triggers", (_case, settings, master, worker) => {
  const other = synthesizeCluster(settings);
  expect([changedTriggers("master-0", other), changedTriggers("worker-0", other)]).toEqual([master, worker]);
});

test("a renewed certificate changes only the trigger of certificates", () => {
  const CERTIFICATE = /tls_(self|locally)_signed_cert\.[\w-]+/g;
  for (const id of [...MASTERS, ...WORKERS]) {
    for (const name of stepsOf(id)) {
      const { certificates, ...others } = step(name).triggers;
      expect(JSON.stringify(others)).not.toMatch(CERTIFICATE);
      const own = id.startsWith("master") ? "master-kubernetes" : id;
      expect(certificates.match(CERTIFICATE)).toEqual(
        expect.arrayContaining(["tls_self_signed_cert.ca-certificate", `tls_locally_signed_cert.${own}-certificate`]),
      );
    }
  }
});

test("the copies have no file in the home folder, and a key for one user only", () => {
  for (const id of [...MASTERS, ...WORKERS]) {
    const { files } = script(step(`pems-${id}`));
    expect(files.filter(({ path }) => path.startsWith("/home/"))).toEqual([]);
    for (const { path, mode } of files)
      expect([path, mode]).toEqual([path, /key\.pem|kubeconfig$|\.kubeconfig|encryption/.test(path) ? "0600" : "0644"]);
  }
});

test("the load balancer asks for /readyz over HTTPS every 5 seconds", () => {
  expect(argumentsOf(blockAt(json, "aws_lb_target_group.target-group")).health_check).toEqual({
    protocol: "HTTPS",
    matcher: "200-399",
    path: "/readyz",
    interval: 5,
    timeout: 4,
    healthy_threshold: 2,
    unhealthy_threshold: 2,
  });
});

test("a mirror of a registry is a file for containerd on workers", () => {
  const mirrored = synthesizeCluster({
    kubernetes: { ...KUBERNETES, registryMirrors: { "registry.k8s.io": "https://mirror.example.com" } },
  });
  const hosts = "/etc/containerd/certs.d/registry.k8s.io/hosts.toml";
  const paths = (id: string) => script(step(`pems-${id}`, mirrored)).files.map(({ path }) => path);
  expect(paths("worker-0")).toContain(hosts);
  expect(paths("master-0")).not.toContain(hosts);
});

test("another version of Kubernetes changes nothing of the machine", () => {
  const other = synthesizeCluster({ kubernetes: { version: "1.37.1" } });
  for (const id of [...MASTERS, ...WORKERS]) {
    expect(blockAt(other, `aws_instance.${id}`)).toEqual(blockAt(json, `aws_instance.${id}`));
  }
});

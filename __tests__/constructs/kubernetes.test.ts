import { argumentsOf, type Block, blockAt, resourcesOf, type TerraformJson } from "../../cloud/terraform-json";
import { readDistributionScript } from "../../model/distribution";
import { synthesizeCluster } from "../../testing/synthesize";

const KUBERNETES = { version: "1.37.2" };
const MASTERS = ["master-0", "master-1", "master-2"];
const WORKERS = ["worker-0", "worker-1", "worker-2"];
const json = synthesizeCluster({ kubernetes: KUBERNETES });

const step = (name: string, of: TerraformJson = json) => argumentsOf(blockAt(of, `null_resource.${name}`));

/** Everything that a step waits for, directly or not. */
function before(name: string): string[] {
  const seen = new Set<string>();
  const visit = (address: string) => {
    const [type, id] = address.split(".") as [string, string];
    const block = resourcesOf(json, type)?.[id];
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
      ...MASTERS.map((id) => `etcd-${id}`),
      ...["kubernetes", "pems", "programs"].flatMap((kind) => all.map((id) => `${kind}-${id}`)),
    ].sort(),
  );
});

test("programs are downloaded while the load balancer is made", () => {
  for (const id of [...MASTERS, ...WORKERS]) expect(before(`programs-${id}`)).toEqual([]);
});

test("no member of etcd starts before every control plane machine is prepared", () => {
  for (const id of MASTERS) {
    expect(before(`etcd-${id}`)).toEqual(expect.arrayContaining(MASTERS.map((each) => `null_resource.pems-${each}`)));
  }
});

test("control plane machines take their step one after the other, workers side by side after them", () => {
  const earlier = (id: string) =>
    before(`kubernetes-${id}`).filter((name) => name.startsWith("null_resource.kubernetes-"));
  MASTERS.forEach((id, index) => {
    expect(earlier(id)).toEqual(MASTERS.slice(0, index).map((each) => `null_resource.kubernetes-${each}`));
    expect(before(`kubernetes-${id}`)).toEqual(
      expect.arrayContaining(MASTERS.map((each) => `null_resource.etcd-${each}`)),
    );
  });
  for (const id of WORKERS) expect(earlier(id)).toEqual(MASTERS.map((each) => `null_resource.kubernetes-${each}`));
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

test("a step is repeated when the programs or the files of its machine change", () => {
  for (const id of [...MASTERS, ...WORKERS]) {
    expect(step(`kubernetes-${id}`).triggers).toMatchObject({
      machine: `\${aws_instance.${id}.id}`,
      programs: `\${null_resource.programs-${id}.id}`,
      configuration: `\${null_resource.pems-${id}.id}`,
    });
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

test("another version of Kubernetes changes the programs of each machine, and nothing of the machine", () => {
  const other = synthesizeCluster({ kubernetes: { version: "1.37.1" } });
  for (const id of [...MASTERS, ...WORKERS]) {
    expect(step(`programs-${id}`, other).triggers.files).not.toBe(step(`programs-${id}`).triggers.files);
    expect(blockAt(other, `aws_instance.${id}`)).toEqual(blockAt(json, `aws_instance.${id}`));
  }
});

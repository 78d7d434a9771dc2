import { join } from "node:path";
import { expectSmooth, measured } from "../../testing/changed-cluster";
import { ETCDCTL, KubernetesRehearsal, type Writes } from "../../testing/kubernetes-rehearsal";
import { story } from "../../testing/story";

const machines = (masters: number, workers: number) => ({
  controlPlane: { count: masters, instanceType: "t3.small" },
  workers: { count: workers, instanceType: "t3.small" },
});

let cluster: KubernetesRehearsal;
let writes: Writes;
/** The file of a snapshot, which a step writes. */
let snapshot: string;

beforeAll(async () => {
  cluster = await KubernetesRehearsal.begin(machines(1, 1));
});

afterAll(async () => {
  await cluster?.rehearsal.end();
});

/** Applies a number of machines. @returns Terraform's output */
async function deploy(masters: number, workers: number): Promise<string> {
  await cluster.rehearsal.configure(cluster.settings(machines(masters, workers)));
  return cluster.rehearsal.apply();
}

async function members(): Promise<string[]> {
  const list = await cluster.outputOn("master-0", `${ETCDCTL} member list`);
  return list.split("\n").map((line) => line.split(", ").slice(1, 3).concat(line.split(", ").slice(-1)).join(" "));
}

const started = (...hosts: readonly number[]) => hosts.map((host) => `started ip-172-31-0-${host} false`);

async function nodes(): Promise<string[]> {
  const { items } = await cluster.get("nodes");
  return items.map(({ metadata }: { metadata: { name: string } }) => metadata.name);
}

story({
  "a cluster with one control plane machine is deployed": async () => {
    await deploy(1, 1);
    await cluster.credentials();
    await cluster.kubectl("create", "configmap", "kept");
    snapshot = join(cluster.rehearsal.temporaryFolder, "snapshot.db");
    await cluster.cluster("snapshot", "--out", snapshot);
  },

  "the only control plane machine is replaced: an error, and no new cluster": async () => {
    const output = await cluster.failedApply("-replace=aws_instance.master-0");
    expect(output).toMatch(
      /master-0: etcd has no data here, and there is no other member; no new cluster is founded in its place/,
    );
    expect((await cluster.onMachine("master-0", "ls /var/lib/etcd/member")).status).not.toBe(0);
  },

  "a snapshot brings it back": async () => {
    await cluster.cluster("restore", snapshot);
    await cluster.rehearsal.apply();
    expect(await cluster.kubectl("get", "configmap", "kept", "--output", "name")).toBe("configmap/kept");
    expect(await cluster.rehearsal.terraform("plan", "-no-color")).toContain("No changes.");
  },

  "two control plane machines and a worker more join": async () => {
    await deploy(3, 2);
    expect((await members()).sort()).toEqual(started(10, 11, 12));
    expect(await nodes()).toEqual(["ip-172-31-0-20", "ip-172-31-0-21"]);
    writes = await cluster.startWrites("writes");
  },

  "from three to five": async () => {
    expectSmooth(await measured(writes, "from three to five control plane machines", () => deploy(5, 2)));
    expect((await members()).sort()).toEqual(started(10, 11, 12, 13, 14));
  },

  "only the last machine of a role can be removed": async () => {
    const { status, output } = await cluster.startCluster("remove", "master-1").ended;
    expect(status).not.toBe(0);
    expect(output).toContain("master-4");
  },

  "a control plane machine that was removed can be taken back": async () => {
    await cluster.cluster("remove", "master-4");
    expect((await members()).sort()).toEqual(started(10, 11, 12, 13));
    await cluster.rehearsal.apply("-replace=null_resource.kubernetes-master-4");
    expect((await members()).sort()).toEqual(started(10, 11, 12, 13, 14));
  },

  "two control plane machines are removed, then the deploy is made: no write is lost": async () => {
    await cluster.cluster("remove", "master-3", "master-4");
    expect((await members()).sort()).toEqual(started(10, 11, 12));
    await deploy(3, 2);
    await writes.end();
    for (const id of ["master-0", "master-1", "master-2"]) expect(await writes.lostOn(id)).toEqual([]);
  },

  "a worker is removed, taken back and removed again, then the deploy is made": async () => {
    await cluster.cluster("remove", "worker-1");
    expect(await nodes()).toEqual(["ip-172-31-0-20"]);
    await cluster.rehearsal.apply("-replace=null_resource.kubernetes-worker-1");
    expect(await nodes()).toEqual(["ip-172-31-0-20", "ip-172-31-0-21"]);
    await cluster.cluster("remove", "worker-1");
    await deploy(3, 1);
    expect(await nodes()).toEqual(["ip-172-31-0-20"]);
    await deploy(3, 2);
    expect(await nodes()).toEqual(["ip-172-31-0-20", "ip-172-31-0-21"]);
  },

  "a worker that was not removed before: the deploy deletes its Node": async () => {
    expect(await deploy(3, 1)).toContain(
      "ip-172-31-0-21: the Node is deleted, because its machine is no longer in the settings",
    );
    expect(await nodes()).toEqual(["ip-172-31-0-20"]);
    expect(await cluster.rehearsal.terraform("plan", "-no-color")).toContain("No changes.");
  },
});

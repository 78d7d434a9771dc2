import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "../../cloud/program";
import {
  address,
  deployWithWrites,
  expectSmooth,
  figures,
  hostname,
  isWhole,
  MACHINES,
  MASTERS,
  measured,
  starts,
  targets,
} from "../../testing/changed-cluster";
import { ETCDCTL, KubernetesRehearsal, type Writes } from "../../testing/kubernetes-rehearsal";
import { story } from "../../testing/story";

/** The steps of a membership change, each with the program and the arguments with which it is made. */
const MEMBERSHIP = [
  ["remove", "etcdctl", "member remove"],
  ["add", "etcdctl", "member add"],
  ["start", "systemctl", "restart --no-block etcd"],
  ["promote", "etcdctl", "member promote"],
] as const;

/** A program that comes before the real one in the PATH of root. After its call with the arguments, it kills the scripts. */
const killer = (program: string, args: string) => `#!/bin/bash
real=$(PATH=/usr/local/bin:/usr/bin:/bin type -P ${program})
if [[ "$*" != *"${args}"* ]]; then exec "$real" "$@"; fi
"$real" "$@"
pkill -KILL -f '/usr/local/lib/kubernetes/[a-z-]*[.]sh'
pkill -KILL -x etcd
`;

/** A pod on a worker without a controller, so that it does not come back under another name. */
const PINNED = `
apiVersion: v1
kind: Pod
metadata: {name: pinned}
spec:
  nodeName: ${hostname("worker-1")}
  containers:
  - {name: pause, image: "registry.k8s.io/e2e-test-images/agnhost:2.66.1", args: [pause]}
`;

let cluster: KubernetesRehearsal;
let writes: Writes;
/** The file of a snapshot, which a step writes. */
let snapshot: string;

beforeAll(async () => {
  cluster = await KubernetesRehearsal.begin(MACHINES);
});

afterAll(async () => {
  await cluster?.rehearsal.end();
});

const members = async (id: string) => cluster.outputOn(id, `${ETCDCTL} member list --consistency=s`);

async function clusterId(id: string): Promise<string> {
  const status = await cluster.outputOn(id, `${ETCDCTL} endpoint status --write-out=json`);
  return String(JSON.parse(status)[0].Status.header.cluster_id);
}

story({
  "a cluster is deployed": async () => {
    writes = await deployWithWrites(cluster);
  },

  "the leader of etcd loses its power: writes fail for a moment, and new pods start": async () => {
    const states = JSON.parse(
      await cluster.outputOn("master-0", `${ETCDCTL} endpoint status --cluster --write-out=json`),
    );
    const isLeader = ({ Status }: { Status: { leader: number; header: { member_id: number } } }) =>
      Status.leader === Status.header.member_id;
    const leader = MASTERS.find((id) => states.find(isLeader).Endpoint.includes(`${address(id)}:`)) as string;
    let pods = 0;
    const { longestGap } = await measured(writes, `${leader}, the leader of etcd, loses its power`, async () => {
      await cluster.inConsole("off", leader);
      const begin = Date.now();
      await cluster.until("the deployment is scaled", 120, async () => {
        await cluster.kubectl("scale", "deployment/web", "--replicas=4", "--request-timeout=3s");
        return true;
      });
      await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=180s");
      pods = (Date.now() - begin) / 1000;
    });
    figures("pods of a scaled deployment after the loss", { seconds: pods });
    // The goal is 15 s. The limit is for a machine with full processors.
    expect(longestGap).toBeLessThan(45);
    await cluster.inConsole("start", leader);
    await isWhole(cluster);
    await cluster.kubectl("scale", "deployment/web", "--replicas=2");
  },

  "etcd alone stops on a machine: the load balancer leaves it": async () => {
    const begin = Date.now();
    await cluster.outputOn("master-2", "systemctl stop etcd");
    await cluster.until("the target is unhealthy", 120, async () =>
      (await targets(cluster)).some(
        ([target, state]) => target.startsWith(`${address("master-2")}:`) && state === "unhealthy",
      ),
    );
    figures("load balancer leaves a machine without etcd", { seconds: (Date.now() - begin) / 1000 });
    await cluster.outputOn("master-2", "systemctl start etcd");
    await isWhole(cluster);
  },

  "a terminated worker is replaced by one deploy: the Node and its pods go, and a new machine joins": async () => {
    const uid = async () => (await cluster.get("node", hostname("worker-1"))).metadata.uid;
    await cluster.applyManifest(PINNED);
    await cluster.kubectl("wait", "pod/pinned", "--for=condition=Ready", "--timeout=180s");
    const before = await uid();
    await cluster.inConsole("terminate", "worker-1");
    expectSmooth(await measured(writes, "a worker is replaced", () => cluster.rehearsal.apply()));
    expect(await uid()).not.toBe(before);
    expect(await cluster.kubectl("get", "pod", "pinned", "--ignore-not-found")).toBe("");
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=180s");
    expect(await cluster.rehearsal.terraform("plan", "-no-color")).toContain("No changes.");
  },

  "a terminated control plane machine is replaced by one deploy": async () => {
    // For the step after the next: the disk of the machine that is lost.
    await cluster.outputOn("master-0", "tar -C /var/lib/etcd -cf - member | base64 -w0 >/root/member.tar.b64");
    const old = await cluster.outputOn("master-0", "cat /root/member.tar.b64");
    writeFileSync(join(cluster.rehearsal.temporaryFolder, "old-member"), old);
    const [id, before] = [await clusterId("master-1"), await members("master-1")];
    await cluster.inConsole("terminate", "master-0");
    // The load balancer leaves the machine that is lost.
    await cluster.until("the target is unhealthy", 120, async () =>
      (await targets(cluster)).some(([, state]) => state !== "healthy"),
    );
    expectSmooth(await measured(writes, "a control plane machine is replaced", () => cluster.rehearsal.apply()));
    await isWhole(cluster);
    expect(await clusterId("master-0")).toBe(id);
    const after = await members("master-0");
    expect(after.match(/started/g)).toHaveLength(3);
    expect(after).not.toBe(before);
  },

  "the old machine's data are not let in": async () => {
    const before = await members("master-1");
    const old = readFileSync(join(cluster.rehearsal.temporaryFolder, "old-member"), "utf8");
    const { machine } = cluster.rehearsal.machine("master-0");
    await cluster.outputOn("master-0", "systemctl stop etcd && mv /var/lib/etcd/member /var/lib/etcd/kept");
    const unpack = "base64 -d | tar -C /var/lib/etcd -xf - && chown -R etcd:etcd /var/lib/etcd";
    const [program, ...args] = machine.run(["bash", "-c", unpack]);
    execFileSync(program as string, args, { input: old });
    await cluster.onMachine("master-0", "systemctl start --no-block etcd");
    await cluster.until("the member is refused", 120, async () =>
      /has been permanently removed from the cluster/.test(
        await cluster.outputOn("master-0", "journalctl --unit etcd --no-pager --lines 200"),
      ),
    );
    expect(await members("master-1")).toBe(before);
    await cluster.outputOn(
      "master-0",
      "systemctl stop etcd; rm -r /var/lib/etcd/member && mv /var/lib/etcd/kept /var/lib/etcd/member && systemctl start etcd",
    );
    await isWhole(cluster);
  },

  ...Object.fromEntries(
    MEMBERSHIP.map(([name, program, args], index) => [
      `a deploy that is killed in the step "${name}" of a new member leaves nothing that stops the next one`,
      async () => {
        const replace = index === 0 ? ["-replace=aws_instance.master-1"] : [];
        const apply = cluster.rehearsal.startTerraform("apply", "-auto-approve", "-no-color", ...replace);
        const isThere = index === 0 ? /aws_instance\.master-1: Creation complete/ : /Apply|Plan:/;
        await until(() => isThere.test(apply.output()), { what: apply.output, process: apply.process, seconds: 120 });
        const file = `/usr/local/sbin/${program}`;
        await cluster.outputOn("master-1", `cat >${file} <<'END'\n${killer(program, args)}END\nchmod 0755 ${file}`);
        const { status, output } = await apply.ended;
        await cluster.outputOn("master-1", `rm ${file}`);
        // A first start of etcd that fails leaves a folder without a log.
        if (name === "add") await cluster.outputOn("master-1", "install -d -o etcd /var/lib/etcd/member/snap");
        expect({ status, output }).toMatchObject({ status: 1, output: expect.stringContaining("remote-exec") });
      },
    ]),
  ),

  "the next deploy finishes": async () => {
    await cluster.rehearsal.apply();
    await isWhole(cluster);
    expect((await members("master-1")).match(/started/g)).toHaveLength(3);
    expect(await cluster.rehearsal.terraform("plan", "-no-color")).toContain("No changes.");
  },

  "no acknowledged write is lost, on any machine": async () => {
    await writes.end();
    figures("all writes", { all: writes.done.length, failed: writes.since(0).failed.length });
    for (const id of MASTERS) expect(await writes.lostOn(id)).toEqual([]);
  },

  "a snapshot is written and checked": async () => {
    await cluster.kubectl("create", "configmap", "in-snapshot");
    snapshot = join(cluster.rehearsal.temporaryFolder, "snapshot.db");
    await cluster.cluster("snapshot", "--out", snapshot);
    await cluster.kubectl("create", "configmap", "after-snapshot");
  },

  "without two of three machines, a change is refused, and nothing is changed": async () => {
    const read = async () => [
      await cluster.outputOn(
        "master-0",
        "sha256sum /etc/systemd/system/*.service /var/lib/kubernetes/*.* /etc/etcd/*.pem /usr/local/lib/kubernetes/facts",
      ),
      await starts(cluster, ["master-0"], ["etcd"]),
    ];
    const before = await read();
    const change = ["quorum", "pems"].map((step) => `-replace=null_resource.${step}-master-0`);
    await cluster.inConsole("off", "master-1", "master-2");
    const off = await cluster.failedApply(...change);
    for (const id of ["master-1", "master-2"]) expect(off).toContain(`${id} has no public address: a stopped machine`);
    expect(await read()).toEqual(before);

    await cluster.inConsole("start", "master-1", "master-2");
    for (const id of ["master-1", "master-2"]) {
      await cluster.rehearsal.machine(id).machine.listens();
      await cluster.outputOn(id, "systemctl stop etcd");
    }
    expect(await cluster.failedApply(...change)).toMatch(
      /master-0: 1 of 3 members of etcd answer, 2 are needed; nothing was changed here/,
    );
    expect(await read()).toEqual(before);
    // Most machines have their data, so a restore is not what helps.
    const { status, output } = await cluster.startCluster("restore", snapshot).ended;
    expect({ status, output }).toEqual({
      status: 2,
      output: expect.stringContaining("'--replace' is needed while most control plane machines have data of etcd"),
    });
    for (const id of ["master-1", "master-2"]) await cluster.outputOn(id, "systemctl start --no-block etcd");
    await isWhole(cluster);
    await cluster.rehearsal.apply();
  },

  "two machines replaced while the third does not answer: an error, and no new cluster": async () => {
    await cluster.outputOn("master-0", "systemctl stop etcd");
    await cluster.inConsole("terminate", "master-1", "master-2");
    expect(await cluster.failedApply()).toMatch(
      /master-1: etcd has no data here, and 0 of 2 other members answer, without a quorum; no new cluster is founded/,
    );
    for (const id of ["master-1", "master-2"]) {
      expect((await cluster.onMachine(id, "ls /var/lib/etcd/member")).status).not.toBe(0);
    }
  },

  "two machines are replaced at once: refused, with the number of members that answer": async () => {
    await cluster.outputOn("master-0", "systemctl start --no-block etcd");
    const output = await cluster.failedApply();
    expect(output).toMatch(
      /master-1: etcd has no data here, and 1 of 2 other members answer, without a quorum; no new cluster is founded/,
    );
    for (const id of ["master-1", "master-2"]) {
      expect((await cluster.onMachine(id, "ls /var/lib/etcd/member")).status).not.toBe(0);
    }
  },

  "lost machines are made again for a restore, although the change was refused before": async () => {
    // As after a refusal: the step is repeated, and refuses again before it copies files to the new machines.
    await cluster.rehearsal.terraform("taint", "null_resource.quorum-master-0");
    await cluster.inConsole("terminate", "master-1", "master-2");
    expect(await cluster.failedApply()).toMatch(/master-0: 1 of 3 members of etcd answer, 2 are needed/);
    const { status, output } = await cluster.startCluster("restore", snapshot).ended;
    expect({ status, output }).toEqual({
      status: 2,
      output: expect.stringContaining(
        "all control plane machines must have their files, got: none on master-1, master-2",
      ),
    });
    expect(await cluster.failedApply()).toMatch(/master-1: etcd has no data here, .*; no new cluster is founded/);
  },

  "a restored snapshot and a deploy bring the cluster back": async () => {
    await cluster.cluster("restore", snapshot);
    await cluster.rehearsal.apply();
    await isWhole(cluster);
    const { items } = await cluster.get("configmaps");
    const names = items.map(({ metadata }: { metadata: { name: string } }) => metadata.name);
    expect(names).toContain("in-snapshot");
    expect(names).not.toContain("after-snapshot");
    for (const id of MASTERS) expect(await writes.lostOn(id)).toEqual([]);
    expect(await cluster.rehearsal.terraform("plan", "-no-color")).toContain("No changes.");
  },
});

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  address,
  CONTROL_PLANE,
  deployWithWrites,
  expectSmooth,
  figures,
  MACHINES,
  MASTERS,
  measured,
  NODE,
  pods,
  restarted,
  starts,
  WORKERS,
} from "../../testing/changed-cluster";
import { EARLIER, KubernetesRehearsal, MIRROR, VERSION, type Writes } from "../../testing/kubernetes-rehearsal";
import { story } from "../../testing/story";

let cluster: KubernetesRehearsal;
let writes: Writes;

beforeAll(async () => {
  cluster = await KubernetesRehearsal.begin(MACHINES);
});

afterAll(async () => {
  await cluster?.rehearsal.end();
});

/** The serial number of the certificate at an address on a machine. */
async function serial(id: string, port: number): Promise<string> {
  const client = "-cert /etc/etcd/master-kubernetes.pem -key /etc/etcd/master-kubernetes-key.pem";
  const options = port === 10250 ? "" : client;
  return cluster.outputOn(
    id,
    `openssl s_client -connect ${address(id)}:${port} ${options} </dev/null 2>/dev/null | openssl x509 -noout -serial`,
  );
}

story({
  "a cluster of an earlier patch version is deployed": async () => {
    writes = await deployWithWrites(cluster, { version: EARLIER });
  },

  "renewed certificates reach their programs: etcd reads them again, the others restart, the API answers": async () => {
    const [before, nodesBefore] = [await starts(cluster, MASTERS, CONTROL_PLANE), await starts(cluster, WORKERS, NODE)];
    const earlier = await pods(cluster);
    const state = await cluster.rehearsal.terraform("state", "list");
    const certificates = state.split("\n").filter((each) => /^tls_locally_signed_cert\.(?!front-proxy-ca)/.test(each));
    expect(certificates.length).toBeGreaterThan(6);
    const serials = await Promise.all(MASTERS.flatMap((id) => [6443, 2379, 2380].map((port) => serial(id, port))));
    const nodes = await Promise.all(WORKERS.map((id) => serial(id, 10250)));
    expectSmooth(
      await measured(writes, "certificates are renewed", () =>
        cluster.rehearsal.apply(...certificates.map((each) => `-replace=${each}`)),
      ),
    );
    const renewed = await Promise.all(MASTERS.flatMap((id) => [6443, 2379, 2380].map((port) => serial(id, port))));
    expect(new Set(renewed).size).toBe(1);
    expect(serials).not.toContain(renewed[0]);
    const renewedNodes = await Promise.all(WORKERS.map((id) => serial(id, 10250)));
    expect(renewedNodes.filter((each) => nodes.includes(each))).toEqual([]);
    const again = await restarted(cluster, before, MASTERS, CONTROL_PLANE);
    expect(again.filter((each) => !each.endsWith(" etcd"))).toHaveLength(9);
    expect(again.filter((each) => each.endsWith(" etcd"))).toEqual([]);
    expect((await restarted(cluster, nodesBefore, WORKERS, NODE)).sort()).toEqual(
      WORKERS.flatMap((id) => [`${id} kube-proxy`, `${id} kubelet`]).sort(),
    );
    // Pods go on through the restart of their kubelet.
    expect(await pods(cluster)).toEqual(earlier);
    await cluster.credentials("--replace");
  },

  "a changed flag restarts the program that reads it and no other, one machine after the other": async () => {
    const before = await starts(cluster, MASTERS, CONTROL_PLANE);
    const file = join(cluster.rehearsal.folder.stackFolder, "cdk.tf.json");
    let json = readFileSync(file, "utf8");
    const synthesized = json;
    // The settings have no flags: this is what a changed component writes.
    const [flag, other] = ["--service-node-port-range=30000-32767", "--service-node-port-range=30000-32760"];
    for (const id of MASTERS) {
      const unit = `${await cluster.outputOn(id, "cat /etc/systemd/system/kube-apiserver.service")}\n`;
      const hash = (text: string) => createHash("sha256").update(text).digest("hex");
      expect(json).toContain(hash(unit));
      json = json.replaceAll(hash(unit), hash(unit.replace(flag, other)));
    }
    writeFileSync(file, json.replaceAll(flag, other));
    expectSmooth(await measured(writes, "a flag of the API server changes", () => cluster.rehearsal.apply()));
    const changed = await starts(cluster, MASTERS, CONTROL_PLANE);
    expect(Object.keys(changed).filter((key) => changed[key] !== before[key])).toEqual(
      MASTERS.map((id) => `${id} kube-apiserver`),
    );
    const times = MASTERS.map((id) => Number(/Monotonic=(\d+)/.exec(changed[`${id} kube-apiserver`] as string)?.[1]));
    expect([...times].sort((a, b) => a - b)).toEqual(times);
    writeFileSync(file, synthesized);
  },

  "pods go on while their containerd restarts": async () => {
    const [before, earlier] = [await starts(cluster, WORKERS, NODE), await pods(cluster)];
    const registryMirrors = { "registry.k8s.io": MIRROR, "docker.io": MIRROR };
    await cluster.rehearsal.configure(cluster.settings(MACHINES, { version: EARLIER, registryMirrors }));
    await cluster.rehearsal.apply();
    expect(await restarted(cluster, before, WORKERS, NODE)).toEqual(WORKERS.map((id) => `${id} containerd`));
    expect(await pods(cluster)).toEqual(earlier);
  },

  "a patch upgrade rolls: control plane machines one at a time, then each worker is drained": async () => {
    await cluster.rehearsal.configure(cluster.settings(MACHINES));
    const plan = await cluster.rehearsal.terraform("plan", "-no-color");
    expect(plan).toMatch(new RegExp(`"kubernetes" += "${EARLIER}" -> "${VERSION}"`));
    let output = "";
    expectSmooth(
      await measured(writes, "a patch upgrade", async () => {
        output = await cluster.rehearsal.apply();
      }),
    );
    for (const id of WORKERS) expect(output).toMatch(new RegExp(`${id}: drained after \\d+ s`));
    const { items } = await cluster.get("nodes");
    expect(
      items.map(({ status }: never) => (status as { nodeInfo: { kubeletVersion: string } }).nodeInfo.kubeletVersion),
    ).toEqual(WORKERS.map(() => `v${VERSION}`));
    expect(items.filter(({ spec }: { spec: { unschedulable?: boolean } }) => spec.unschedulable)).toEqual([]);
    for (const id of MASTERS) {
      const version = await cluster.outputOn(id, "curl -sk https://127.0.0.1:6443/version");
      expect(version).toContain(`"v${VERSION}"`);
    }
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=180s");
  },

  "a step back is refused by the machine, in one line": async () => {
    const before = await starts(cluster, MASTERS, CONTROL_PLANE);
    await cluster.rehearsal.configure(cluster.settings(MACHINES, { version: EARLIER }));
    const output = await cluster.failedApply();
    expect(output).toMatch(
      new RegExp(
        `master-0: kube-apiserver ${VERSION} runs here: it can only be replaced by a later patch version of 1.37, got: ${EARLIER}`,
      ),
    );
    expect(await restarted(cluster, before, MASTERS, CONTROL_PLANE)).toEqual([]);
    await cluster.rehearsal.configure(cluster.settings(MACHINES));
    await cluster.rehearsal.apply();
    expect(await restarted(cluster, before, MASTERS, CONTROL_PLANE)).toEqual([]);
  },

  "no acknowledged write is lost, on any machine": async () => {
    await writes.end();
    figures("all writes", { all: writes.done.length, failed: writes.since(0).failed.length });
    for (const id of MASTERS) expect(await writes.lostOn(id)).toEqual([]);
  },
});

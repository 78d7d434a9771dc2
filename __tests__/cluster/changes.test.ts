import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { signalInside, until } from "../../cloud/program";
import { ETCDCTL, KubernetesRehearsal, MIRROR } from "../../testing/kubernetes-rehearsal";
import { story } from "../../testing/story";

/** The tutorial's machines with enough memory, and one worker. */
const MACHINES = {
  controlPlane: { count: 3, instanceType: "t3.small" },
  workers: { count: 1, instanceType: "t3.small" },
};

/** A program of control plane machines. Without it, none of them goes on. */
const SCHEDULER = "dl.k8s.io/v1.37.2/bin/linux/amd64/kube-scheduler";

/** The folder of its release on a machine. */
const RELEASE = "/usr/local/lib/kubernetes/programs/kube-scheduler";

/** The steps of an apply, with the line that shows that a step has begun. A deploy is killed in each of them. */
const STEPS: readonly (readonly [name: string, begin: RegExp])[] = [
  ["download", /null_resource\.programs-master-1: Creating/],
  ["etcd", /null_resource\.etcd-master-1: Creating/],
  ["control plane", /null_resource\.kubernetes-master-1: Creating/],
  ["worker", /null_resource\.kubernetes-worker-0: Creating/],
  ["cluster DNS", /null_resource\.check: Creating/],
];

const NODES = ["master-0", "master-1", "master-2", "worker-0"];

/** The seed of the moments within the steps. */
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000);

let cluster: KubernetesRehearsal;

beforeAll(async () => {
  process.stderr.write(`seed of the moments: SEED=${SEED}\n`);
  cluster = await KubernetesRehearsal.begin(MACHINES);
});

afterAll(() => cluster?.rehearsal.end());

/** A number from 0 to 1, another for each index. */
function random(index: number): number {
  const x = Math.sin(SEED + index * 7919) * 10_000;
  return x - Math.floor(x);
}

const instances = async () =>
  (await cluster.rehearsal.inventory()).instances.map(({ InstanceId }) => InstanceId).sort();

let machinesBefore: unknown;

story({
  "a tutorial cluster is deployed without Kubernetes": async () => {
    await cluster.rehearsal.apply();
    machinesBefore = await instances();
    expect(await cluster.outputOn("master-0", "ls /home/ubuntu")).toContain("ca-key.pem");
  },

  "where part 2 runs by hand, the script refuses, and changes nothing": async () => {
    const unit = "/etc/systemd/system/etcd.service";
    await cluster.outputOn(
      "master-1",
      `printf '[Service]\\nExecStart=/bin/sleep infinity\\n' >${unit} && systemctl daemon-reload`,
    );
    await cluster.rehearsal.configure(cluster.settings(MACHINES));
    const output = await cluster.failedApply();
    expect(output).toMatch(
      /ip-172-31-0-11: Kubernetes was installed here by hand: \/etc\/systemd\/system\/etcd\.service/,
    );
    expect(await cluster.outputOn("master-1", "ls /usr/local/bin")).toBe("");
    await cluster.outputOn("master-1", `rm ${unit} && systemctl daemon-reload`);
  },

  "a wrong sum ends the apply with a line that names the file and the machine": async () => {
    await cluster.rehearsal.configure(cluster.settings(MACHINES, {}, { [SCHEDULER]: "0".repeat(64) }));
    const output = await cluster.failedApply();
    expect(output).toMatch(new RegExp(`ip-172-31-0-10: .*${MIRROR}/${SCHEDULER}`));
    // The one with the right sum stays.
    const sum = await cluster.outputOn("master-0", `sha256sum ${RELEASE}/*/kube-scheduler`);
    expect(sum).toContain(cluster.checksums[SCHEDULER]);
  },

  "a download host that is down ends the apply with a line that names the file and the machine": async () => {
    await cluster.rehearsal.configure(cluster.settings(MACHINES, { downloads: "http://198.51.100.1:9" }));
    // A release that the machine has already is not downloaded again.
    await cluster.outputOn("master-0", `rm -rf ${RELEASE}`);
    expect(await cluster.failedApply()).toMatch(
      new RegExp(`ip-172-31-0-10: .*http://198\\.51\\.100\\.1:9/${SCHEDULER}`),
    );
    await cluster.rehearsal.configure(cluster.settings(MACHINES));
  },

  ...Object.fromEntries(
    STEPS.map(([name, begin], index) => [
      `a deploy that is killed in the step "${name}" leaves nothing that stops the next one`,
      async () => {
        const apply = cluster.rehearsal.startTerraform("apply", "-auto-approve", "-no-color");
        await until(() => begin.test(apply.output()), { what: apply.output, process: apply.process, seconds: 300 });
        await sleep(random(index) * 3_000);
        // The scripts on the machines end at any line, and Terraform as after Ctrl-C.
        const scripts = "/usr/local/lib/kubernetes/[a-z-]*[.]sh";
        await Promise.all(NODES.map((id) => cluster.onMachine(id, `pkill -KILL -f '${scripts}'`)));
        signalInside(apply.process, "SIGINT");
        await apply.ended;
      },
    ]),
  ),

  "the next deploy finishes, in place: no machine was replaced": async () => {
    const output = await cluster.rehearsal.apply();
    expect(output).toContain("ip-172-31-0-20: ready, pods 172.20.0.0/24, services by address and by name: ");
    expect(await instances()).toEqual(machinesBefore);
    await cluster.credentials();
    expect(await cluster.kubectl("get", "nodes", "--no-headers")).toMatch(/^ip-172-31-0-20 +Ready /);
    const members = await cluster.outputOn("master-2", `${ETCDCTL} member list`);
    expect(members.match(/started/g)).toHaveLength(3);
    expect(await cluster.rehearsal.terraform("plan", "-no-color")).toContain("No changes.");
    expect(await cluster.kubectl("get", "pods", "--namespace", "kube-system", "--no-headers")).not.toContain("check-");
  },

  "a program that does not start ends the apply with its state and its journal; the next apply goes on": async () => {
    const dropIn = "/etc/systemd/system/kubelet.service.d";
    await cluster.outputOn(
      "worker-0",
      `mkdir ${dropIn} && printf '[Service]\\nExecStartPre=/bin/false\\n' >${dropIn}/broken.conf && systemctl daemon-reload && systemctl stop kubelet`,
    );
    const output = await cluster.failedApply("-replace=null_resource.kubernetes-worker-0");
    expect(output).toContain("Process: ");
    expect(output).toMatch(/kubelet\.service: Control process exited, code=exited, status=1\/FAILURE/);
    expect(output).toMatch(/worker-0: kubelet: healthy: not within 60 s/);
    await cluster.outputOn("worker-0", `rm -r ${dropIn} && systemctl daemon-reload`);
    expect(await cluster.rehearsal.apply()).toMatch(/worker-0: the node is ready after/);
  },

  "a containerd without the kubelet's interface ends, and is started again until it has it": async () => {
    const [folder, kept] = ["/etc/cni/net.d", "/etc/cni/kept"];
    await cluster.outputOn("worker-0", `mv ${folder} ${kept} && touch ${folder}`);
    await cluster.onMachine("worker-0", "systemctl restart containerd");
    const journal = "journalctl --unit containerd --no-pager --lines 50";
    await cluster.until("it ends", 120, async () =>
      (await cluster.outputOn("worker-0", journal)).includes("load required plugin io.containerd.grpc.v1.cri"),
    );
    await cluster.outputOn("worker-0", `rm ${folder} && mv ${kept} ${folder}`);
    await cluster.until("it runs again", 120, async () => {
      const { output } = await cluster.onMachine("worker-0", "ctr plugins list");
      return /io\.containerd\.grpc\.v1 +cri .*ok/.test(output);
    });
    await cluster.kubectl("wait", "node/ip-172-31-0-20", "--for=condition=Ready", "--timeout=180s");
  },

  "the removed setting uninstalls nothing": async () => {
    await cluster.rehearsal.configure(MACHINES);
    await cluster.rehearsal.apply();
    expect(await cluster.kubectl("get", "nodes", "--no-headers")).toMatch(/^ip-172-31-0-20 +Ready /);
    expect(await instances()).toEqual(machinesBefore);
  },

  "the setting that comes back finds the cluster as it was": async () => {
    await cluster.kubectl("create", "configmap", "kept");
    await cluster.rehearsal.configure(cluster.settings(MACHINES));
    await cluster.rehearsal.apply();
    expect(await cluster.kubectl("get", "configmap", "kept", "--output", "name")).toBe("configmap/kept");
    expect(await cluster.rehearsal.terraform("plan", "-no-color")).toContain("No changes.");
  },

  "a worker more joins, and a mirror that is no longer in the settings is forgotten": async () => {
    const two = { ...MACHINES, workers: { ...MACHINES.workers, count: 2 } };
    await cluster.rehearsal.configure(cluster.settings(two));
    await cluster.rehearsal.apply();
    expect((await cluster.get("nodes")).items).toHaveLength(2);
    await cluster.rehearsal.configure(cluster.settings(two, { registryMirrors: {} }));
    await cluster.rehearsal.apply();
    expect(await cluster.outputOn("worker-0", "ls /etc/containerd/certs.d/registry.k8s.io")).toBe("");
  },

  "no output contains a secret": async () => {
    const printed = cluster.rehearsal.printed.join("\n");
    const key = readFileSync(join(cluster.credentialsFolder, "ca-authority/ca-key.pem"), "utf8").split(
      "\n",
    )[1] as string;
    expect(printed).not.toContain(key);
  },
});

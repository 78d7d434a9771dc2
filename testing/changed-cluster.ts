import { TIMED_OUT } from "./api-writer";
import { ETCDCTL, type KubernetesRehearsal, type Writes, type WritesOfTime } from "./kubernetes-rehearsal";

/** The machines of a cluster that heals and is changed: three control plane machines and two workers. */
export const MACHINES = {
  controlPlane: { count: 3, instanceType: "t3.small" },
  workers: { count: 2, instanceType: "t3.small" },
};

export const MASTERS = ["master-0", "master-1", "master-2"] as const;
export const WORKERS = ["worker-0", "worker-1"] as const;

/** The units of a control plane machine, and of a worker. */
export const CONTROL_PLANE = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] as const;
export const NODE = ["containerd", "kubelet", "kube-proxy"] as const;

/** The host name of a machine, by its id. */
export const hostname = (id: string) => `ip-172-31-0-${id.startsWith("master") ? 1 : 2}${id.at(-1)}`;
/** The private address of a machine, by its id. */
export const address = (id: string) => hostname(id).slice(3).replaceAll("-", ".");

/** Two pods, of which one is always there. */
const WEB = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      tolerations:
      - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 5}
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: web}}}
      containers:
      - {name: web, image: "registry.k8s.io/e2e-test-images/agnhost:2.66.1", args: [pause]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}
`;

/**
 * Deploys {@link MACHINES} with Kubernetes and {@link WEB}.
 * @param kubernetes - other settings in the group `kubernetes`
 * @returns writes to the API, which go on
 */
export async function deployWithWrites(cluster: KubernetesRehearsal, kubernetes: object = {}): Promise<Writes> {
  await cluster.rehearsal.configure(cluster.settings(MACHINES, kubernetes));
  await cluster.rehearsal.apply();
  await cluster.credentials();
  await cluster.applyManifest(WEB);
  await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=180s");
  const writes = await cluster.startWrites("writes");
  await isWhole(cluster);
  return writes;
}

/** Prints figures, for the documentation. */
export function figures(name: string, values: Record<string, unknown>): void {
  if (process.env.SHOW_STEPS) process.stderr.write(`figures: ${name}: ${JSON.stringify(values)}\n`);
}

/** Runs an action beside the writes, and prints how many failed, and when. If some did, it prints the complaints of etcd too. */
export async function measured(writes: Writes, name: string, action: () => Promise<unknown>) {
  const result = await writes.during(action);
  const { begin, failed, ...others } = result;
  const errors = failed.map((write) => `${(write.begin - begin) / 1000} s: ${write.error}`);
  figures(name, { ...others, failed: failed.length, errors });
  if (failed.length > 10) for (const line of await writes.complaints(begin)) figures(name, { line });
  return result;
}

/**
 * The API answers through a planned change. The limits are for a machine with full processors, on which writes take longer than
 * their time-out. The measured figures are in docs/kubernetes.md.
 */
export function expectSmooth({ all, failed, longestGap }: WritesOfTime): void {
  const refused = failed.filter(({ error }) => error !== TIMED_OUT);
  expect(refused.length / all).toBeLessThan(0.05);
  expect(failed.length / all).toBeLessThan(0.3);
  expect(longestGap).toBeLessThan(20);
}

/** Waits until all members of etcd are healthy, and the load balancer has all API servers. */
export async function isWhole(cluster: KubernetesRehearsal): Promise<void> {
  await cluster.until("all members and targets are healthy", 300, async () => {
    const command = `${ETCDCTL} --command-timeout=2s endpoint health --cluster`;
    const [members, balancer] = [await cluster.onMachine("master-2", command), await targets(cluster)];
    if (members.status === 0 && balancer.every(([, state]) => state === "healthy")) return true;
    const ready =
      "hostname; systemctl is-active kube-apiserver; curl -sk --max-time 2 https://127.0.0.1:6443/readyz?verbose | grep -v ok$";
    const servers = await Promise.all(MASTERS.map((id) => cluster.onMachine(id, ready)));
    throw new Error([JSON.stringify(balancer), members.output, ...servers.map(({ output }) => output)].join("\n"));
  });
}

/** The states of the load balancer's targets, by address. */
export async function targets(cluster: KubernetesRehearsal): Promise<[string, string][]> {
  const { targetGroups } = await cluster.rehearsal.inventory();
  return Object.entries(targetGroups[0]?.health ?? {});
}

/** The start of a unit on each machine. */
export async function starts(
  cluster: KubernetesRehearsal,
  ids: readonly string[],
  units: readonly string[],
): Promise<Record<string, string>> {
  const all = ids.flatMap((id) => units.map((unit) => [id, unit] as const));
  const times = await Promise.all(
    all.map(([id, unit]) =>
      cluster.outputOn(id, `systemctl show --property=MainPID,ActiveEnterTimestampMonotonic ${unit}`),
    ),
  );
  return Object.fromEntries(all.map(([id, unit], index) => [`${id} ${unit}`, times[index] as string]));
}

/** The units that have started again since. */
export async function restarted(
  cluster: KubernetesRehearsal,
  before: Record<string, string>,
  ids: readonly string[],
  units: readonly string[],
) {
  const after = await starts(cluster, ids, units);
  return Object.keys(after).filter((key) => after[key] !== before[key]);
}

/** The pods of the deployment, with their nodes and starts. */
export async function pods(
  cluster: KubernetesRehearsal,
): Promise<{ name: string; node: string; restarts: number; ready: boolean }[]> {
  const { items } = await cluster.get("pods", "--selector", "app=web");
  return items.map((pod: never) => {
    const { metadata, spec, status } = pod as Record<string, Record<string, never>>;
    const [container] = (status?.containerStatuses ?? []) as { restartCount: number; ready: boolean }[];
    return {
      name: metadata?.name,
      node: spec?.nodeName,
      restarts: container?.restartCount ?? 0,
      ready: container?.ready ?? false,
    };
  });
}

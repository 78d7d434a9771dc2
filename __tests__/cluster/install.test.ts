import { missingFor } from "../../cloud/requirements";
import { figures } from "../../testing/changed-cluster";
import { shellBlocks } from "../../testing/documented";
import { ETCDCTL, KubernetesRehearsal } from "../../testing/kubernetes-rehearsal";
import { story } from "../../testing/story";

const WORKERS = ["worker-0", "worker-1", "worker-2"];
const MASTERS = ["master-0", "master-1", "master-2"];
const NODES = [20, 21, 22].map((host) => `ip-172-31-0-${host}`);

const AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.66.1";

/** Pods of agnhost: `netexec` answers at port 8080 with its host name and with its client's address. */
const PODS = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: web, image: "${AGNHOST}", args: [netexec, --http-port=8080]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080, nodePort: 30080}]
---
apiVersion: v1
kind: Pod
metadata: {name: alone, labels: {app: alone}}
spec:
  nodeName: ${NODES[1]}
  terminationGracePeriodSeconds: 0
  containers:
  - {name: web, image: "${AGNHOST}", args: [netexec, --http-port=8080]}
---
apiVersion: v1
kind: Service
metadata: {name: alone}
spec:
  selector: {app: alone}
  ports: [{port: 80, targetPort: 8080}]
`;

/** An extension API server at a worker's address, as a service without pods. */
const EXTENSION = `
apiVersion: v1
kind: Service
metadata: {name: extension}
spec: {ports: [{port: 443, targetPort: 30443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: extension, labels: {kubernetes.io/service-name: extension}}
addressType: IPv4
ports: [{port: 30443, protocol: TCP}]
endpoints: [{addresses: [172.31.0.20]}]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.extension.example.com}
spec:
  group: extension.example.com
  version: v1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: {name: extension, namespace: default}
`;

let cluster: KubernetesRehearsal;

beforeAll(async () => {
  cluster = await KubernetesRehearsal.begin({});
});

afterAll(() => cluster?.rehearsal.end());

interface Pod {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly nodeName: string };
  readonly status: { readonly podIP: string; readonly phase: string };
}

async function pods(...selector: readonly string[]): Promise<Pod[]> {
  return (await cluster.get("pods", ...selector)).items;
}

/** A quantity of memory in MiB, such as `2Gi` or `2097152Ki`. */
function mebibytes(quantity: string): number {
  const factor = { Ki: 1 / 1024, Mi: 1, Gi: 1024 }[quantity.slice(-2)];
  if (factor === undefined) throw new Error(`the unit of ${quantity}`);
  return Math.round(Number.parseInt(quantity, 10) * factor);
}

/** The pod of the DaemonSet on a node. */
async function webOn(node: string): Promise<Pod> {
  const pod = (await pods("--selector", "app=web")).find(({ spec }) => spec.nodeName === node);
  if (pod === undefined) throw new Error(`no pod on ${node}`);
  return pod;
}

/** The answer to a request that a pod sends. */
function fromPod(pod: string, url: string): Promise<string> {
  return cluster.kubectl("exec", pod, "--", "curl", "-sS", "--max-time", "5", url);
}

const ready = async () => {
  const { items } = await cluster.get("nodes");
  return items.every((node: { status: { conditions: { type: string; status: string }[] } }) =>
    node.status.conditions.some(({ type, status }) => type === "Ready" && status === "True"),
  );
};

story(
  {
    "one deploy makes a cluster that runs, and prints a line for each machine": async () => {
      await cluster.rehearsal.configure(cluster.settings());
      const begin = Date.now();
      const output = await cluster.rehearsal.apply();
      const seconds = (Date.now() - begin) / 1000;
      figures("from nothing to a healthy cluster", { seconds });
      for (const id of MASTERS) expect(output).toMatch(new RegExp(`${id}: kube-apiserver: ready after [\\d.]+ s`));
      for (const id of WORKERS) expect(output).toMatch(new RegExp(`${id}: the node is ready after [\\d.]+ s`));
      for (const node of NODES) {
        expect(output).toMatch(
          new RegExp(`${node}: ready, pods 172\\.20\\.\\d\\.0/24, services by address and by name: `),
        );
      }
      for (const { name, machine } of cluster.rehearsal.cloud.machines.running) {
        process.stderr.write(`${name}: ${Math.round(machine.memory().used / 2 ** 20)} MiB\n`);
      }
    },

    "the administrator's kubeconfig works at once, and all nodes are ready": async () => {
      await cluster.credentials();
      expect(await ready()).toBe(true);
      expect((await cluster.get("nodes")).items.map(({ metadata }: Pod) => metadata.name)).toEqual(NODES);
      expect(await cluster.kubectl("auth", "whoami", "--output", "jsonpath={.status.userInfo.groups}")).toContain(
        "system:masters",
      );
    },

    "pods run on every node": async () => {
      await cluster.applyManifest(PODS);
      await cluster.kubectl("rollout", "status", "daemonset/web", "--timeout=180s");
      await cluster.kubectl("wait", "--for=condition=Ready", "pod/alone", "--timeout=180s");
      expect((await pods("--selector", "app=web")).map(({ spec }) => spec.nodeName).sort()).toEqual(NODES);
      const documented = shellBlocks("rehearsal.md", "Trying it").join("\n");
      const [, create = ""] = /npm run cloud -- kubectl (create .*)/.exec(documented) ?? [];
      await cluster.kubectl(...create.split(" "));
      await cluster.kubectl("rollout", "status", "deployment/hello", "--timeout=180s");
    },

    "the second plan has no changes": async () => {
      expect(await cluster.rehearsal.terraform("plan", "-no-color")).toContain("No changes.");
    },

    "the check of the credentials finds no problem, also on the machines": async () => {
      expect(await cluster.credentials("check", "--nodes")).toContain("no problems found");
    },

    "route table, bridge, spec.podCIDR and the pods' addresses agree": async () => {
      for (const [index, node] of NODES.entries()) {
        const network = `172.20.${index}.`;
        expect((await cluster.get("node", node)).spec.podCIDR).toBe(`${network}0/24`);
        expect((await webOn(node)).status.podIP.startsWith(network)).toBe(true);
        expect(await cluster.outputOn(`worker-${index}`, "ip -4 -brief address show cni0")).toContain(`${network}1/24`);
      }
      const { routeTables, networkInterfaces } = await cluster.rehearsal.inventory();
      const owner = new Map(
        networkInterfaces.map(({ NetworkInterfaceId, PrivateIpAddress }) => [NetworkInterfaceId, PrivateIpAddress]),
      );
      const routes = routeTables
        .flatMap(({ Routes = [] }) => Routes)
        .filter(({ DestinationCidrBlock }) => DestinationCidrBlock?.startsWith("172.20."))
        .map((route) => [route.DestinationCidrBlock, owner.get(route.NetworkInterfaceId)]);
      expect(Object.fromEntries(routes)).toEqual({
        "172.20.0.0/24": "172.31.0.20",
        "172.20.1.0/24": "172.31.0.21",
        "172.20.2.0/24": "172.31.0.22",
      });
    },

    "pods reach each other across machines, and see each other's addresses": async () => {
      const [from, to] = [await webOn(NODES[0] as string), await webOn(NODES[2] as string)];
      const answer = await fromPod(from.metadata.name, `http://${to.status.podIP}:8080/clientip`);
      expect(answer.split(":")[0]).toBe(from.status.podIP);
    },

    "a service is reached by its address and by its name, from every machine": async () => {
      const { clusterIP } = (await cluster.get("service", "web")).spec;
      for (const node of NODES) {
        const { name } = (await webOn(node)).metadata;
        for (const host of [clusterIP, "web", "web.default.svc.cluster.local"]) {
          expect(await fromPod(name, `http://${host}/hostname`)).toMatch(/^web-/);
        }
      }
    },

    "a node port answers at each worker": async () => {
      for (const index of [0, 1, 2]) {
        const command = `curl -s --max-time 5 http://172.31.0.2${index}:30080/hostname`;
        expect(await cluster.outputOn("master-0", command)).toMatch(/^web-/);
      }
    },

    "a pod reaches a service whose only pod is on the same machine, and itself through its service": async () => {
      const { name } = (await webOn(NODES[1] as string)).metadata;
      expect(await fromPod(name, "http://alone/hostname")).toBe("alone");
      // In the pod itself, its name is its own address.
      const { clusterIP } = (await cluster.get("service", "alone")).spec;
      expect(await fromPod("alone", `http://${clusterIP}/hostname`)).toBe("alone");
    },

    "a pod reaches the API server at kubernetes.default with its token": async () => {
      const folder = "/var/run/secrets/kubernetes.io/serviceaccount";
      const ask = [
        `curl -sS --max-time 5 --cacert ${folder}/ca.crt -H "Authorization: Bearer $(cat ${folder}/token)"`,
        `-H "Content-Type: application/json" -d '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}'`,
        "https://kubernetes.default/apis/authentication.k8s.io/v1/selfsubjectreviews",
      ].join(" ");
      const answer = JSON.parse(await cluster.kubectl("exec", "alone", "--", "sh", "-c", ask));
      expect(answer.status.userInfo.username).toBe("system:serviceaccount:default:default");
    },

    "memory and processor time of each worker are reserved for the system": async () => {
      for (const { status } of (await cluster.get("nodes")).items) {
        const { capacity, allocatable } = status;
        // 256 MiB each for the system and for Kubernetes, and 100 MiB at which the kubelet evicts pods.
        expect(mebibytes(capacity.memory) - mebibytes(allocatable.memory)).toBe(612);
        expect([capacity.cpu, allocatable.cpu]).toEqual(["2", "1800m"]);
      }
    },

    "the keys of tokens are at the cluster's name, not at one machine": async () => {
      const { jwks_uri } = JSON.parse(await cluster.kubectl("get", "--raw", "/.well-known/openid-configuration"));
      expect(jwks_uri).toBe("https://kubernetes.default.svc.cluster.local/openid/v1/jwks");
    },

    "logs, exec and port-forward work": async () => {
      expect(await cluster.kubectl("exec", "alone", "--", "hostname")).toBe("alone");
      expect(await cluster.kubectl("logs", "alone")).toContain("Started HTTP server on port 8080");
      const forward = cluster.start("port-forward", "pod/alone", "18080:8080");
      await cluster.until("it forwards", 120, async () => forward.output().includes("Forwarding from"));
      expect(await cluster.rehearsal.here("curl", "-s", "--max-time", "5", "http://127.0.0.1:18080/hostname")).toBe(
        "alone",
      );
      forward.process.kill("SIGKILL");
      await forward.ended;
    },

    "the commands with which a person looks at the machines work as documented": async () => {
      const [onMaster, onWorker] = shellBlocks("kubernetes.md", "How to look at it") as [string, string];
      expect((await cluster.outputOn("master-0", `set -e\n${onMaster}`)).match(/started/g)).toHaveLength(3);
      expect(await cluster.outputOn("worker-0", `set -e\n${onWorker}`)).toMatch(/io\.containerd\.runc\.v2/);
    },

    "etcd refuses a worker's certificate, and takes the API server's": async () => {
      const folder = "/var/lib/kubelet/k8s-cluster-from-ground-up-worker-0";
      const login = `--cacert /var/lib/kubernetes/ca.pem --cert ${folder}.pem --key ${folder}-key.pem`;
      // In later versions of TLS, a client sees the refusal only when it reads.
      const command = `curl -sS --tls-max 1.2 --max-time 5 ${login} https://172.31.0.10:2379/version`;
      const refused = await cluster.onMachine("worker-0", command);
      expect(refused.status).not.toBe(0);
      expect(refused.output).toMatch(/alert|handshake|certificate/i);
      const healthy = await cluster.outputOn(
        "master-1",
        `${ETCDCTL} --endpoints https://172.31.0.10:2379 endpoint health 2>&1`,
      );
      expect(healthy).toContain("is healthy");
    },

    "a secret is encrypted in etcd": async () => {
      await cluster.kubectl("create", "secret", "generic", "hidden", "--from-literal=word=swordfish");
      const stored = await cluster.outputOn(
        "master-1",
        `${ETCDCTL} get --print-value-only /registry/secrets/default/hidden | tr -cd '[:print:]'`,
      );
      expect(stored).toMatch(/^k8s:enc:aescbc:v1:key-[0-9a-f]{8}:/);
      expect(stored).not.toContain("swordfish");
      expect(await cluster.kubectl("get", "secret", "hidden", "--output", "jsonpath={.data.word}")).toBe(
        "c3dvcmRmaXNo",
      );
    },

    "an extension API server is called with the front proxy's certificate": async () => {
      const front = (await cluster.outputOn("master-0", "cat /var/lib/kubernetes/front-proxy-ca.pem")).trim();
      await cluster.outputOn(
        "worker-0",
        [
          `printf '%s\\n' '${front}' >/tmp/front.pem`,
          "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=extension -keyout /tmp/e.key -out /tmp/e.pem 2>/dev/null",
          "systemd-run --quiet --unit=extension openssl s_server -accept 30443 -cert /tmp/e.pem -key /tmp/e.key -CAfile /tmp/front.pem -Verify 1 -verify_return_error -www",
        ].join(" && "),
      );
      await cluster.applyManifest(EXTENSION);
      await cluster.until("the extension answers", 120, async () =>
        (await cluster.kubectl("get", "--raw", "/apis/extension.example.com/v1")).includes("front-proxy-client"),
      );
      await cluster.kubectl("delete", "apiservice", "v1.extension.example.com");
    },

    "secrets on the machines are readable by the programs that need them alone": async () => {
      const listing = async (id: string) =>
        (
          await cluster.outputOn(
            id,
            "stat -c '%U %a %n' /var/lib/kubernetes/* /etc/etcd/* /var/lib/kubelet/*.pem 2>/dev/null || true",
          )
        )
          .split("\n")
          .filter((line) => /key\.pem|kubeconfig|encryption/.test(line));
      for (const line of [...(await listing("master-0")), ...(await listing("worker-0"))])
        expect(line).toMatch(/^\S+ 600 /);
      const users = await cluster.outputOn(
        "master-0",
        "ps -o user:32= -C etcd -C kube-apiserver -C kube-controller -C kube-scheduler | sort",
      );
      expect(users.split("\n").map((user) => user.trim())).toEqual([
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
      ]);
    },

    ...(missingFor("the conformance tests").length === 0 && {
      "ten of Kubernetes' conformance tests pass": async () => {
        expect(await cluster.conformance("--smoke")).toContain("\n10 ran, 10 passed, 0 failed, 0 left out");
      },
    }),

    "machines that were rebooted come back by themselves": async () => {
      const begin = Date.now();
      for (const id of ["worker-1", "master-1"]) {
        // A unit that runs until the reboot.
        await cluster.outputOn(id, "systemd-run --quiet --unit=until-reboot sleep infinity && systemctl reboot");
        await cluster.until(
          `${id} has rebooted`,
          120,
          async () => (await cluster.onMachine(id, "systemctl is-active until-reboot")).output.trim() === "inactive",
        );
      }
      const since = () => ((Date.now() - begin) / 1000).toFixed(1);
      const rebooted = since();
      await cluster.until("the node is ready after its reboot", 240, ready);
      const isReady = since();
      const isUp = "curl -sf --max-time 3 --cacert /var/lib/kubernetes/ca.pem https://127.0.0.1:6443/readyz";
      await cluster.until(
        "the API server of the master is ready",
        240,
        async () => (await cluster.onMachine("master-1", isUp)).status === 0,
      );
      const upAfter = since();
      await cluster.until("a pod on the worker reaches a service on the same machine", 240, async () => {
        const { name } = (await webOn(NODES[1] as string)).metadata;
        return (await fromPod(name, "http://alone/hostname")) === "alone";
      });
      figures("seconds after the reboot of a master and a worker", { rebooted, isReady, isUp: upAfter, pods: since() });
      expect(await cluster.rehearsal.terraform("plan", "-no-color")).toContain("No changes.");
    },

    "destroy leaves nothing": async () => {
      await cluster.rehearsal.terraform("destroy", "-auto-approve", "-no-color");
      const { instances, loadBalancers, targetGroups, volumes, keyPairs } = await cluster.rehearsal.inventory();
      expect({ instances, loadBalancers, targetGroups, volumes, keyPairs }).toEqual({
        instances: [],
        loadBalancers: [],
        targetGroups: [],
        volumes: [],
        keyPairs: [],
      });
      await cluster.rehearsal.cloud.machines.settled();
      expect(cluster.rehearsal.cloud.machines.running).toEqual([]);
    },
  },
  { needs: 3 },
);

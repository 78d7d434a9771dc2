import { internalDomain } from "./addressing";
import { kubeletUser, type NodeRole } from "./names";

/** A machine of a cluster: tokens while synthesizing, values afterwards. */
export interface NodeFacts {
  /** Its Name tag, `k8s-cluster-from-ground-up-worker-0`. */
  readonly name: string;
  /** Its role and index, `worker-0`. */
  readonly id: string;
  readonly role: NodeRole;
  /** Its host name without domain, `ip-172-31-0-20`, which is also its name in Kubernetes. */
  readonly hostname: string;
  /** Its fixed private address. */
  readonly privateIp: string;
  /** Its public address; empty while it is stopped. */
  readonly publicIp: string;
}

/** Facts of a cluster that its certificates and kubeconfigs contain. */
export interface ClusterFacts {
  /** The AWS region, which gives the private host names their domain. @default - names without domain alone */
  readonly region?: string;
  /** The load balancer's name. */
  readonly publicAddress: string;
  /** The address at which pods reach the API servers. */
  readonly serviceAddress: string;
  /** All machines: the control plane's, then the workers. */
  readonly nodes: readonly NodeFacts[];
}

/** A machine whose kubelet gets a certificate. */
export interface KubeletIdentity {
  /** Its place in the construct tree, `worker-0`. @default - its name */
  readonly id?: string;
  /** The start of its file names, `k8s-cluster-from-ground-up-worker-0`. */
  readonly name: string;
  /** Its host name without domain, which is the node's name in Kubernetes. */
  readonly hostname: string;
  /** The addresses at which it is reached. */
  readonly ipAddresses: readonly string[];
}

/** The names in the certificates of the servers. */
export interface ServerNames {
  /** Names and addresses of the API servers, beside 127.0.0.1 and the names of their service. */
  readonly apiServer: { readonly dnsNames: readonly string[]; readonly ipAddresses: readonly string[] };
  /** The machines with a kubelet. */
  readonly kubelets: readonly KubeletIdentity[];
}

/** A certificate that the CA signs, with its key, and whether a kubeconfig contains both. */
export interface Identity {
  /** Its place in the construct tree, and so the start of its Terraform addresses. @default - its file name */
  readonly id?: string;
  /** The start of its file names: `admin` is `admin.pem`, `admin-key.pem` and `admin.kubeconfig`. */
  readonly fileName: string;
  /** CN: to the API server, the user. */
  readonly commonName: string;
  /** O: to the API server, the group. @default - the subject's, to which Kubernetes gives no meaning */
  readonly organization?: string;
  /** The extended key uses that its readers need. The tutorial's certificates all have both. */
  readonly neededUses: readonly ("serverAuth" | "clientAuth")[];
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
  /** Its kubeconfig, and the API server that it names. @default - no kubeconfig */
  readonly kubeconfig?: { readonly apiServer: "load-balancer" | "local" };
}

const BOTH_USES = ["serverAuth", "clientAuth"] as const;

/** The names under which pods reach the API server. */
export const API_SERVICE_NAMES = [
  "kubernetes",
  "kubernetes.default",
  "kubernetes.default.svc",
  "kubernetes.default.svc.cluster",
  "kubernetes.default.svc.cluster.local",
];

/** Clients of the API server, and the pair that signs service account tokens: the same in every cluster. */
export const CLIENTS: readonly Identity[] = [
  {
    fileName: "kube-scheduler",
    commonName: "system:kube-scheduler",
    organization: "system:kube-scheduler",
    neededUses: ["clientAuth"],
    // The scheduler and the controller manager use the API server on their own machine.
    kubeconfig: { apiServer: "local" },
  },
  {
    fileName: "kube-proxy",
    commonName: "system:kube-proxy",
    organization: "system:node-proxier",
    neededUses: ["clientAuth"],
    kubeconfig: { apiServer: "load-balancer" },
  },
  {
    fileName: "kube-controller-manager",
    commonName: "system:kube-controller-manager",
    organization: "system:kube-controller-manager",
    neededUses: ["clientAuth"],
    kubeconfig: { apiServer: "local" },
  },
  {
    fileName: "admin",
    commonName: "admin",
    organization: "system:masters",
    neededUses: ["clientAuth"],
    kubeconfig: { apiServer: "load-balancer" },
  },
  {
    fileName: "service-account",
    commonName: "service-accounts",
    // Nothing presents this certificate: API servers verify tokens with the key in it.
    neededUses: [],
  },
];

/** Every certificate that the CA of a cluster signs. */
export function identities({ apiServer, kubelets }: ServerNames): readonly Identity[] {
  return [
    {
      fileName: "master-kubernetes",
      commonName: "kubernetes",
      // etcd's peers and the kubelets know it as a client.
      neededUses: BOTH_USES,
      dnsNames: [...apiServer.dnsNames, ...API_SERVICE_NAMES],
      ipAddresses: ["127.0.0.1", ...apiServer.ipAddresses],
    },
    ...kubelets.map(
      ({ id, name, hostname, ipAddresses }): Identity => ({
        id,
        fileName: name,
        commonName: kubeletUser(hostname),
        organization: "system:nodes",
        neededUses: BOTH_USES,
        dnsNames: [hostname],
        ipAddresses,
        kubeconfig: { apiServer: "load-balancer" },
      }),
    ),
    ...CLIENTS,
  ];
}

/** The machines of a role. */
export function nodesOf({ nodes }: Pick<ClusterFacts, "nodes">, role: NodeRole): readonly NodeFacts[] {
  return nodes.filter((node) => node.role === role);
}

/** The names in the servers' certificates of a cluster. */
export function serverNames(cluster: ClusterFacts): ServerNames {
  const { region, publicAddress, serviceAddress } = cluster;
  const masters = nodesOf(cluster, "master");
  return {
    apiServer: {
      dnsNames: [
        ...masters.map(({ hostname }) => hostname),
        ...(region === undefined ? [] : masters.map(({ hostname }) => `${hostname}.${internalDomain(region)}`)),
        publicAddress,
      ],
      // Pods reach the API server at the first address of the service network, which the tutorial forgets.
      ipAddresses: [...masters.map(({ privateIp }) => privateIp), serviceAddress],
    },
    kubelets: nodesOf(cluster, "worker").map(({ id, name, hostname, publicIp, privateIp }) => ({
      id,
      name,
      hostname,
      ipAddresses: [publicIp, privateIp].filter((address) => address !== ""),
    })),
  };
}

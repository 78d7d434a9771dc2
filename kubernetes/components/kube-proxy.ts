import { KUBE_PROXY, USERS } from "../../model/layout";
import { NODE_PORTS } from "../../model/ports";
import { type Component, HEADER, unit } from "./component";

const CONFIG = `${KUBE_PROXY}/kube-proxy-config.yaml`;

const FACTS = {
  name: "kube-proxy",
  role: "worker",
  description: "kube-proxy",
  user: USERS["kube-proxy"],
  ports: [
    ["10256", "health checks"],
    [NODE_PORTS.join("-"), "clients of services of type NodePort, from the subnets"],
  ],
} as const;

/** kube-proxy on each worker: the addresses of services. */
export const kubeProxy: Component = {
  ...FACTS,
  files: ({ podNetwork }, { hostname }) => [
    unit(FACTS, {
      program: "/usr/local/bin/kube-proxy",
      flags: { config: CONFIG, v: "2" },
    }),
    {
      path: CONFIG,
      content: `${HEADER}
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection:
  kubeconfig: ${KUBE_PROXY}/kubeconfig
hostnameOverride: ${hostname}
mode: nftables
clusterCIDR: ${podNetwork}
`,
    },
  ],
};

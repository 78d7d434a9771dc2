import { KUBELET, KUBERNETES, USERS } from "../../model/layout";
import { type Component, HEADER, unit } from "./component";

const CONFIG = `${KUBELET}/kubelet-config.yaml`;

/** The folder with files that change the kubelet's configuration, in the order of their names; each ends in `.conf`. */
export const KUBELET_DROP_INS = "/etc/kubernetes/kubelet.conf.d";

const FACTS = {
  name: "kubelet",
  role: "worker",
  description: "kubelet",
  user: USERS.kubelet,
  ports: [
    ["10250", "API servers: logs, exec"],
    ["10248", "health checks of the same machine"],
  ],
} as const;

/** The kubelet on each worker. */
export const kubelet: Component = {
  ...FACTS,
  files: ({ dnsAddress }, { name, hostname, privateIp }) => [
    unit(FACTS, {
      after: ["containerd.service"],
      program: "/usr/local/bin/kubelet",
      service: ["Type=notify", "TimeoutStartSec=infinity", "KillMode=process"],
      flags: {
        config: CONFIG,
        "config-dir": KUBELET_DROP_INS,
        kubeconfig: `${KUBELET}/kubeconfig`,
        // The certificate contains it.
        "hostname-override": hostname,
        "node-ip": privateIp,
        v: "2",
      },
    }),
    {
      path: CONFIG,
      // The reservations are for the system, and for the kubelet with containerd. Pods get the rest.
      content: `${HEADER}
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous:
    enabled: false
  webhook:
    enabled: true
  x509:
    clientCAFile: ${KUBERNETES}/ca.pem
authorization:
  mode: Webhook
cgroupDriver: systemd
clusterDNS:
- ${dnsAddress}
clusterDomain: cluster.local
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
# Without the stub resolver 127.0.0.53, with which CoreDNS would ask itself.
resolvConf: /run/systemd/resolve/resolv.conf
tlsCertFile: ${KUBELET}/${name}.pem
tlsPrivateKeyFile: ${KUBELET}/${name}-key.pem
systemReserved:
  cpu: 100m
  memory: 256Mi
kubeReserved:
  cpu: 100m
  memory: 256Mi
`,
    },
  ],
};

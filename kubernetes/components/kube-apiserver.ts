import { FRONT_PROXY_CA, FRONT_PROXY_CLIENT } from "../../model/identities";
import { KUBERNETES, USERS } from "../../model/layout";
import { API_HEALTH_CHECK, API_SERVER_PORT, ETCD_PORTS, NODE_PORTS } from "../../model/ports";
import { type Component, type KubernetesFacts, unit } from "./component";

const inFolder = (name: string) => `${KUBERNETES}/${name}`;
const [CERTIFICATE, KEY] = [inFolder("master-kubernetes.pem"), inFolder("master-kubernetes-key.pem")];

/** The issuer of service account tokens. */
const ISSUER = "https://kubernetes.default.svc.cluster.local";

const FACTS = {
  name: "kube-apiserver",
  role: "master",
  description: "Kubernetes API server",
  user: USERS["kube-apiserver"],
  ports: [[String(API_SERVER_PORT), "everybody in `access.api`, through the load balancer too"]],
} as const;

/**
 * The seconds for which an API server that stops still answers, while the load balancer sees that it is not ready any more.
 * Where it is the only one, nothing else would answer, so it stops at once.
 */
function leaving(nodes: KubernetesFacts["nodes"]): number {
  const { interval, unhealthyThreshold } = API_HEALTH_CHECK;
  return nodes.filter(({ role }) => role === "master").length > 1 ? interval * unhealthyThreshold + 2 : 0;
}

/** The API server on each control plane machine. */
export const kubeApiserver: Component = {
  ...FACTS,
  files: ({ serviceNetwork, nodes }, { privateIp }) => [
    unit(FACTS, {
      after: ["etcd.service"],
      program: "/usr/local/bin/kube-apiserver",
      service: [
        "Type=notify",
        "TimeoutStartSec=infinity",
        `TimeoutStopSec=${leaving(nodes) + 20}`,
        "LimitNOFILE=65536",
      ],
      flags: {
        "advertise-address": privateIp,
        "bind-address": "0.0.0.0",
        "secure-port": String(API_SERVER_PORT),
        "allow-privileged": "true",
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "client-ca-file": inFolder("ca.pem"),
        "tls-cert-file": CERTIFICATE,
        "tls-private-key-file": KEY,
        // The own member alone: with all members, the client waits 30 to 40 s for one that does not answer.
        "etcd-servers": `https://127.0.0.1:${ETCD_PORTS[0]}`,
        "etcd-cafile": inFolder("ca.pem"),
        "etcd-certfile": CERTIFICATE,
        "etcd-keyfile": KEY,
        "encryption-provider-config": inFolder("encryption-config.yaml"),
        "kubelet-certificate-authority": inFolder("ca.pem"),
        "kubelet-client-certificate": CERTIFICATE,
        "kubelet-client-key": KEY,
        "kubelet-preferred-address-types": "InternalIP,Hostname",
        "service-account-issuer": ISSUER,
        // Otherwise the discovery document names one machine's private address.
        "service-account-jwks-uri": `${ISSUER}/openid/v1/jwks`,
        "service-account-key-file": inFolder("service-account.pem"),
        "service-account-signing-key-file": inFolder("service-account-key.pem"),
        "service-cluster-ip-range": serviceNetwork,
        "service-node-port-range": NODE_PORTS.join("-"),
        ...(leaving(nodes) > 0 && { "shutdown-delay-duration": `${leaving(nodes)}s` }),
        // Without it, a stop waits a minute for clients that watch.
        "shutdown-watch-termination-grace-period": "5s",
        // Control plane machines have no kube-proxy, so services are not reached by their addresses from here.
        "enable-aggregator-routing": "true",
        "requestheader-client-ca-file": inFolder(`${FRONT_PROXY_CA}.pem`),
        "requestheader-allowed-names": FRONT_PROXY_CLIENT,
        "requestheader-username-headers": "X-Remote-User",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "proxy-client-cert-file": inFolder(`${FRONT_PROXY_CLIENT}.pem`),
        "proxy-client-key-file": inFolder(`${FRONT_PROXY_CLIENT}-key.pem`),
        v: "2",
      },
    }),
  ],
};

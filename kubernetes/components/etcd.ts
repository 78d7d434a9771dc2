import { API_SERVER_NAME } from "../../model/identities";
import { ETCD, USERS } from "../../model/layout";
import { ETCD_PORTS } from "../../model/ports";
import { type Component, unit } from "./component";

/** The folder of etcd's data. */
export const ETCD_DATA = "/var/lib/etcd";

/**
 * The file with the variables for a member's first start, which a script on the machine writes: etcd ignores them once it
 * has data. The member's step decides between a new cluster and an existing one.
 */
export const ETCD_INITIAL = "/etc/etcd/initial.env";

const [CLIENT_PORT, PEER_PORT] = ETCD_PORTS;

const FACTS = {
  name: "etcd",
  role: "master",
  description: "etcd",
  user: USERS.etcd,
  ports: [
    [String(CLIENT_PORT), "the API server of the same machine"],
    [String(PEER_PORT), "other members"],
  ],
} as const;

/** A member of etcd on each control plane machine. */
export const etcd: Component = {
  ...FACTS,
  files: (_cluster, { hostname, privateIp }) => [
    unit(FACTS, {
      program: "/usr/local/bin/etcd",
      // notify: etcd reports that it is ready after the member has joined. So nothing may wait for one member's start before
      // it starts the others.
      service: [
        "Type=notify",
        "TimeoutStartSec=infinity",
        `EnvironmentFile=-${ETCD_INITIAL}`,
        `ReadWritePaths=${ETCD_DATA}`,
      ],
      flags: {
        name: hostname,
        "data-dir": ETCD_DATA,
        "listen-client-urls": `https://${privateIp}:${CLIENT_PORT},https://127.0.0.1:${CLIENT_PORT}`,
        "advertise-client-urls": `https://${privateIp}:${CLIENT_PORT}`,
        "listen-peer-urls": `https://${privateIp}:${PEER_PORT}`,
        "initial-advertise-peer-urls": `https://${privateIp}:${PEER_PORT}`,
        "cert-file": `${ETCD}/master-kubernetes.pem`,
        "key-file": `${ETCD}/master-kubernetes-key.pem`,
        "trusted-ca-file": `${ETCD}/ca.pem`,
        "client-cert-auth": "true",
        // Every certificate of the cluster is from one CA. Only the API server's has this name, so a worker's is refused.
        "client-cert-allowed-hostname": API_SERVER_NAME,
        "peer-cert-file": `${ETCD}/master-kubernetes.pem`,
        "peer-key-file": `${ETCD}/master-kubernetes-key.pem`,
        "peer-trusted-ca-file": `${ETCD}/ca.pem`,
        "peer-client-cert-auth": "true",
        "peer-cert-allowed-hostname": API_SERVER_NAME,
      },
    }),
  ],
};

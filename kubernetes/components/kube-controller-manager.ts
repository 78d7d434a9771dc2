import { KUBERNETES, USERS } from "../../model/layout";
import { type Component, unit } from "./component";

const inFolder = (name: string) => `${KUBERNETES}/${name}`;
const KUBECONFIG = inFolder("kube-controller-manager.kubeconfig");
const TOKEN_KEY = "service-account-key.pem";

const FACTS = {
  name: "kube-controller-manager",
  role: "master",
  description: "Kubernetes controller manager",
  user: USERS["kube-controller-manager"],
  ports: [["10257", "health checks of the same machine"]],
} as const;

/** The controller manager on each control plane machine; one of them leads. */
export const kubeControllerManager: Component = {
  ...FACTS,
  files: ({ name, serviceNetwork }) => [
    unit(FACTS, {
      after: ["kube-apiserver.service"],
      program: "/usr/local/bin/kube-controller-manager",
      // The file belongs to the API server's user.
      service: [`LoadCredential=${TOKEN_KEY}:${inFolder(TOKEN_KEY)}`],
      flags: {
        "bind-address": "127.0.0.1",
        "cluster-name": name,
        kubeconfig: KUBECONFIG,
        "authentication-kubeconfig": KUBECONFIG,
        "authorization-kubeconfig": KUBECONFIG,
        "use-service-account-credentials": "true",
        "leader-elect": "true",
        "root-ca-file": inFolder("ca.pem"),
        "cluster-signing-cert-file": inFolder("ca.pem"),
        "cluster-signing-key-file": inFolder("ca-key.pem"),
        // systemd replaces the variable.
        "service-account-private-key-file": `\${CREDENTIALS_DIRECTORY}/${TOKEN_KEY}`,
        "service-cluster-ip-range": serviceNetwork,
        // It would give each node the next free network, in the order in which nodes register. The routes are fixed.
        "allocate-node-cidrs": "false",
        v: "2",
      },
    }),
  ],
};

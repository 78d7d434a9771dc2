import { KUBERNETES, USERS } from "../../model/layout";
import { type Component, HEADER, unit } from "./component";

const KUBECONFIG = `${KUBERNETES}/kube-scheduler.kubeconfig`;
const CONFIG = `${KUBERNETES}/kube-scheduler.yaml`;

const FACTS = {
  name: "kube-scheduler",
  role: "master",
  description: "Kubernetes scheduler",
  user: USERS["kube-scheduler"],
  ports: [["10259", "health checks of the same machine"]],
} as const;

/** The scheduler on each control plane machine; one of them leads. */
export const kubeScheduler: Component = {
  ...FACTS,
  files: () => [
    unit(FACTS, {
      after: ["kube-apiserver.service"],
      program: "/usr/local/bin/kube-scheduler",
      flags: {
        "bind-address": "127.0.0.1",
        config: CONFIG,
        "authentication-kubeconfig": KUBECONFIG,
        "authorization-kubeconfig": KUBECONFIG,
        v: "2",
      },
    }),
    {
      path: CONFIG,
      content: `${HEADER}
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection:
  kubeconfig: ${KUBECONFIG}
leaderElection:
  leaderElect: true
`,
    },
  ],
};

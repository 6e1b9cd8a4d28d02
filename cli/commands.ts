import type { Command } from './command.ts';
import { show as auditShow, verify as auditVerify } from './configure/audit.ts';
import check from './configure/check.ts';
import { adopt, commit, confirm, factoryReset, rollback, rotateSecrets } from './configure/commits.ts';
import configure from './configure/configure.ts';
import { discard, remove, set } from './configure/edits.ts';
import { backup, load, restore, save } from './configure/files.ts';
import { compare, history as configHistory, show as configShow } from './configure/looks.ts';
import reload from './configure/reload.ts';
import alarmAck from './do/alarm-ack.ts';
import apiFirstPassword from './do/api-first-password.ts';
import banRemove from './do/ban-remove.ts';
import capture from './do/capture.ts';
import catalogRefresh from './do/catalog-refresh.ts';
import { clusterMaintenance, clusterSwitch } from './do/cluster.ts';
import { clusterForget, clusterJoin, clusterPair } from './do/cluster-pair.ts';
import { completeForShell, completionBash } from './do/completion.ts';
import help from './do/help.ts';
import inspect from './do/inspect.ts';
import checkPeer from './do/check-peer.ts';
import play from './do/play.ts';
import ptz from './do/ptz.ts';
import records from './do/records.ts';
import { simCamera, simPlatform } from './do/sim.ts';
import snapshot from './do/snapshot.ts';
import supportBundle from './do/support-bundle.ts';
import top from './do/top.ts';
import trace from './do/trace.ts';
import { approvals, approve, resetPassword, unlock } from './do/user.ts';
import why from './do/why.ts';
import alarms from './show/alarms.ts';
import api from './show/api.ts';
import bans from './show/bans.ts';
import channels from './show/channels.ts';
import clusterShow from './show/cluster.ts';
import counters from './show/counters.ts';
import devices from './show/devices.ts';
import firewall from './show/firewall.ts';
import health from './show/health.ts';
import history from './show/history.ts';
import inlets from './show/inlets.ts';
import log from './show/log.ts';
import resources from './show/resources.ts';
import rules from './show/rules.ts';
import sessions from './show/sessions.ts';
import transcoders from './show/transcoders.ts';
import upstreams from './show/upstreams.ts';
import users from './show/users.ts';
import versions from './show/version.ts';
import view from './show/view.ts';

/** In the order of the help. */
export const COMMANDS: readonly Command[] = [
  devices,
  channels,
  resources,
  upstreams,
  view,
  sessions,
  inlets,
  transcoders,
  counters,
  api,
  users,
  approvals,
  bans,
  firewall,
  versions,
  log,
  top,
  health,
  alarms,
  history,
  rules,
  inspect,
  alarmAck,
  why,
  trace,
  capture,
  checkPeer,
  play,
  snapshot,
  ptz,
  records,
  catalogRefresh,
  banRemove,
  clusterShow,
  clusterSwitch,
  clusterMaintenance,
  clusterPair,
  clusterJoin,
  clusterForget,
  apiFirstPassword,
  unlock,
  resetPassword,
  approve,
  configure,
  configShow,
  set,
  remove,
  compare,
  commit,
  confirm,
  discard,
  rollback,
  configHistory,
  save,
  load,
  backup,
  restore,
  adopt,
  rotateSecrets,
  factoryReset,
  check,
  reload,
  auditShow,
  auditVerify,
  supportBundle,
  simCamera,
  simPlatform,
  help,
  completionBash,
  completeForShell,
];

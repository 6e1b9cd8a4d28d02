/** What each method of each daemon needs of whoever asks (core/access/roles.ts). A method without a line here does not compile. */
import type { ApidRequests } from '#contracts/apid.ts';
import type { ClusterdRequests } from '#contracts/clusterd.ts';
import type { ConfigdRequests } from '#contracts/configd.ts';
import type { HealthdRequests } from '#contracts/healthd.ts';
import type { MediadRequests } from '#contracts/mediad.ts';
import type { SipdRequests } from '#contracts/sipd.ts';
import type { RpcAccess } from './rpc-peers.ts';

export const apidAccess: RpcAccess<ApidRequests> = {
  status: 'read',
  takeFirstPassword: 'daemons',
  users: 'security',
  unlockUser: 'security',
  resetPassword: 'security',
  waitingRoles: 'configure',
  approveRoles: 'configure',
  userChanges: 'daemons',
  counters: 'read',
  reload: 'configure',
};

export const mediadAccess: RpcAccess<MediadRequests> = {
  openSource: 'daemons',
  connectSource: 'daemons',
  closeSource: 'daemons',
  openInlet: 'daemons',
  listInlets: 'read',
  listPushes: 'read',
  openSink: 'daemons',
  startSink: 'daemons',
  sourceTracks: 'daemons',
  sinkMarks: 'daemons',
  bridgesOn: 'daemons',
  closeSink: 'daemons',
  closeBridge: 'daemons',
  listBridges: 'read',
  startCapture: 'diagnose',
  readCapture: 'diagnose',
  stopCapture: 'diagnose',
  load: 'read',
  counters: 'read',
  listOutlets: 'read',
  outletUrls: 'watch',
  listTranscoders: 'read',
  snapshot: 'watch',
  reload: 'configure',
};

export const sipdAccess: RpcAccess<SipdRequests> = {
  duty: 'read',
  promote: 'daemons',
  demote: 'daemons',
  pair: 'daemons',
  summary: 'read',
  raiseAlarm: 'daemons',
  listDevices: 'read',
  listChannels: 'read',
  channel: 'read',
  listUpstreams: 'read',
  totals: 'read',
  view: 'read',
  listSessions: 'read',
  listResources: 'read',
  counters: 'read',
  listBans: 'read',
  removeBan: 'security',
  why: 'read',
  traceMessages: 'diagnose',
  openProbe: 'diagnose',
  closeProbe: 'diagnose',
  probeQuery: 'diagnose',
  openOutlet: 'daemons',
  closeOutlet: 'daemons',
  refreshCatalog: 'operate',
  ptz: 'operate',
  control: 'operate',
  presets: 'operate',
  records: 'watch',
  reload: 'configure',
};

export const configdAccess: RpcAccess<ConfigdRequests> = {
  status: 'read',
  show: 'read',
  edit: 'configure',
  load: 'configure',
  discard: 'configure',
  candidate: 'configure',
  compare: 'read',
  check: 'configure',
  commit: 'configure',
  waitsFor: 'read',
  confirm: 'configure',
  rollback: 'configure',
  history: 'read',
  adopt: 'configure',
  backup: 'configure',
  restore: ['configure', 'security'],
  rotateSecrets: 'security',
  factoryReset: ['configure', 'security'],
  // Whoever may ask anything may have written down what he did, under his own name.
  audit: 'read',
  auditLog: 'audit',
  auditVerify: 'audit',
  line: 'daemons',
  revisionText: 'daemons',
  commitFor: 'daemons',
  pair: 'read',
  counters: 'read',
};

export const healthdAccess: RpcAccess<HealthdRequests> = {
  report: 'read',
  samples: 'read',
  history: 'read',
  alarms: 'read',
  acknowledge: 'operate',
  counters: 'read',
  reload: 'configure',
};

export const clusterdAccess: RpcAccess<ClusterdRequests> = {
  report: 'read',
  switchOver: 'configure',
  maintenance: 'configure',
  pairing: 'read',
  pair: 'configure',
  join: 'configure',
  forget: 'configure',
  counters: 'read',
  reload: 'configure',
};

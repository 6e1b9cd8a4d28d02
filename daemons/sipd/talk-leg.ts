/**
 * The device's side of a voice session where the device does not call: we INVITE it with s=Talk, and it connects for the sound
 * (gb28181.md 9.2, quirk 68). Over TCP, we wait: what is sent goes where it came from.
 *
 *   opening ──sink open──► inviting ──200, ACK──► talking ──BYE, connection closed──► over
 */
import type { MediadEvent } from '#contracts/mediad.ts';
import { GatewayError } from '#core/result.ts';
import { SDP_TYPE, buildOffer, formatSsrc } from '#core/sdp/build.ts';
import { parseFLine } from '#core/sdp/f-line.ts';
import { type Payload, formatOf } from '#core/sdp/negotiate.ts';
import { formatSubject } from '#core/gb/subject.ts';
import { nameAddr } from '#core/sip/headers.ts';
import { sipUri } from '#core/sip/uri.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import type { Dialog, OutgoingInvite, SipEndpoint } from '#kit/sip-endpoint.ts';
import { type DeviceReach, ownAddress } from './devices.ts';
import type { MediaPool } from './media-pool.ts';
import type { Source } from './source.ts';

export interface TalkPlan {
  readonly sinkId: string;
  readonly targetId: string;
  readonly device: DeviceReach;
  readonly localAddress: string;
  readonly ssrc: number;
  readonly payload: Payload;
}

export interface TalkWorld {
  readonly endpoint: SipEndpoint;
  readonly media: MediaPool;
  config(): GatewayConfig;
  /** It takes the sound. */
  talking(): void;
  /** Once. */
  over(why: string): void;
}

export class TalkLeg {
  readonly plan: TalkPlan;
  readonly #source: Source;
  readonly #world: TalkWorld;
  #invite: OutgoingInvite | undefined;
  #dialog: Dialog | undefined;
  #isOver = false;

  constructor(plan: TalkPlan, source: Source, world: TalkWorld) {
    this.plan = plan;
    this.#source = source;
    this.#world = world;
  }

  begin(): void {
    const { sinkId, device, localAddress, ssrc, payload, targetId } = this.plan;
    const { address } = device.target;
    const open = async (): Promise<void> => {
      const { local } = await this.#world.media.call(this.#source.instance, 'openSink', {
        bridgeId: this.#source.bridgeId, sinkId, transport: 'tcp-passive', localAddress: this.#source.mediaAddress ?? localAddress, remote: { address, port: 0 }, ssrc, payloadType: payload.payloadType, format: formatOf(payload),
        peer: { allowed: [address, ...device.config.mediaNetworks], latch: 'strict' }, connectTimeoutMs: this.#world.config().media.connectTimeoutS * 1000, pictures: 'as-received', label: `${device.id}/${targetId}`,
      });
      if (!this.#isOver) this.#call(local);
    };
    this.#failOn(this.#source.enqueueMedia(open));
  }

  #call(local: { readonly address: string; readonly port: number }): void {
    const { device, targetId, ssrc, payload } = this.plan;
    const { endpoint, config } = this.#world;
    const { sip } = config();
    const here = endpoint.localAddressFor(device.target);
    const uri = sipUri(targetId, device.target.address, device.target.port);
    const invite = endpoint.invite(
      {
        method: 'INVITE', uri, from: ownAddress(config()), to: nameAddr(uri), contact: nameAddr(sipUri(sip.id, here.address, here.port, device.target.transport === 'TCP' ? { transport: 'tcp' } : {})), contentType: SDP_TYPE,
        headers: [{ name: 'Subject', value: formatSubject({ senderId: sip.id, senderStream: formatSsrc(ssrc), receiverId: targetId, receiverStream: '0' }) }],
        body: buildOffer({ originUser: sip.id, sessionName: 'Talk', ...local, transport: 'tcp-passive', ssrc, kind: 'audio', payloads: [payload], direction: 'sendrecv', f: parseFLine('v/////a/1/8/1') }),
      },
      device.target,
    );
    this.#invite = invite;
    invite.onFailed = outcome => this.#end(outcome.type === 'response' ? `the device answered ${outcome.response.status}` : 'the device did not answer');
    invite.onAccepted = ({ dialog, ack }) => {
      this.#dialog = dialog;
      dialog.onRequest = incoming => {
        incoming.respond(incoming.request.method === 'INVITE' ? 488 : 200);
        if (incoming.request.method !== 'BYE') return;
        dialog.close();
        this.#dialog = undefined;
        this.#end('the device hung up');
      };
      ack();
      if (this.#isOver) return this.#hangUp();
      const { bridgeId } = this.#source;
      this.#failOn(this.#source.enqueueMedia(async () => void (await this.#world.media.call(this.#source.instance, 'startSink', { bridgeId, sinkId: this.plan.sinkId }))));
      this.#world.talking();
    };
  }

  onMediaEvent(event: MediadEvent): void {
    if (event.type === 'sink-closed') this.#end(`the sound toward the device ended: ${event.why}`);
  }

  /** Ends it from our side. Twice is once. */
  stop(why: string): void {
    this.#end(why);
  }

  #failOn(task: Promise<void>): void {
    task.catch((error: unknown) => {
      if (!(error instanceof GatewayError)) throw error;
      this.#end(error.message);
    });
  }

  #end(why: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#dialog === undefined) this.#invite?.cancel();
    else this.#hangUp();
    void this.#source.enqueueMedia(() => this.#world.media.closeSink(this.#source.instance, this.#source.bridgeId, this.plan.sinkId)).catch(() => undefined);
    this.#world.over(why);
  }

  #hangUp(): void {
    const dialog = this.#dialog;
    this.#dialog = undefined;
    void dialog?.request('BYE').then(() => dialog.close());
  }
}

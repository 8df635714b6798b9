/** The HTTP API as functions. Each answer is typed by api.gen.ts; each refusal is a `Refusal` with the node's code. */
import type * as api from './api.gen.ts';
import { Refusal } from './types.ts';

export type { api };

const BASE = '/api/v1';
let onSignedOut: () => void = () => undefined;

/** Called when the node says that the session is over. */
export function whenSignedOut(call: () => void): void {
  onSignedOut = call;
}

async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(BASE + path, {
      method,
      credentials: 'same-origin',
      headers: {
        accept: 'application/json',
        'x-startalk': '1',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch {
    throw new Refusal('offline', 'The node cannot be reached.');
  }
  const data: unknown = await answer.json().catch(() => null);
  if (answer.ok) return data as T;
  throw refusal(answer, data as api.Failure | null);
}

function refusal(answer: Response, data: api.Failure | null): Refusal {
  const problem = data?.error;
  if (!problem)
    return new Refusal(answer.status >= 500 ? 'unavailable' : 'internal', `The node answered with ${answer.status}.`);
  const wait = Number(answer.headers.get('retry-after'));
  const detail = Number.isFinite(wait) && wait > 0 ? { retry_after_s: wait, ...problem.detail } : problem.detail;
  if (problem.code === 'not_signed_in') onSignedOut();
  return new Refusal(problem.code, problem.text, detail, problem.id);
}

const get = <T>(path: string): Promise<T> => call<T>('GET', path);
const post = <T>(path: string, body: unknown = {}): Promise<T> => call<T>('POST', path, body);
const patch = <T>(path: string, body: unknown): Promise<T> => call<T>('PATCH', path, body);
const remove = <T>(path: string): Promise<T> => call<T>('DELETE', path);
const query = (values: Record<string, string>): string => `?${new URLSearchParams(values)}`;
const part = encodeURIComponent;

export const node = (): Promise<api.NodeInfo> => get('/node');
export const inspectInvite = (token: string): Promise<api.InviteInfo> => post('/invites/inspect', { token });
export const register = (body: api.Register): Promise<api.Session> => post('/register', body);
export const login = (body: api.Login): Promise<api.Session> => post('/login', body);
export const logout = (): Promise<api.Empty> => post('/logout');
export const resetPassword = (body: api.ResetPassword): Promise<api.Empty> => post('/password-reset', body);
export const me = (): Promise<api.Me> => get('/me');
export const changeMe = (body: api.ChangeMe): Promise<api.Me> => patch('/me', body);
export const changePassword = (body: api.ChangePassword): Promise<api.Empty> => post('/me/password', body);
export const devices = (): Promise<api.Devices> => get('/devices');
export const renameDevice = (id: string, name: string): Promise<api.Device> => patch(`/devices/${id}`, { name });
export const endDevice = (id: string): Promise<api.Empty> => remove(`/devices/${id}`);
export const endOthers = (): Promise<api.Empty> => post('/devices/end-others');
export const users = (q: string, after: string): Promise<api.People> =>
  get(`/users${query({ q, ...(after ? { after } : {}) })}`);
export const room = (id: string): Promise<api.Room> => get(`/rooms/${id}`);
export const openDirect = (user: string): Promise<api.Room> => post('/rooms/direct', { user });
export const createRoom = (body: api.CreateRoom): Promise<api.Room> => post('/rooms', body);
export const members = (room: string): Promise<api.Members> => get(`/rooms/${room}/members`);
export const links = (room: string): Promise<api.Links> => get(`/rooms/${room}/links`);
export const makeLink = (room: string, body: api.MakeLink): Promise<api.Link> => post(`/rooms/${room}/links`, body);
export const dropLink = (room: string, id: string): Promise<api.Empty> => remove(`/rooms/${room}/links/${part(id)}`);
export const joinByLink = (body: api.JoinByLink): Promise<api.Posted> => post('/links/join', body);
export const contacts = (): Promise<api.Contacts> => get('/contacts');
export const introduce = (address: string): Promise<api.Introduction> => post('/introductions', { address });
export const joinElsewhere = (body: api.JoinElsewhere): Promise<api.Posted> => post('/introductions/join', body);
export const askContact = (body: api.AskContact): Promise<api.Contact> => post('/contacts', body);
export const answerContact = (user: string, answer: 'accept' | 'ignore' | 'block' | 'unblock'): Promise<unknown> =>
  post(`/contacts/${part(user)}/${answer}`);
export const removeContact = (user: string): Promise<api.Empty> => remove(`/contacts/${part(user)}`);
export const makeContactLink = (): Promise<api.Link> => post('/contact-links');
export const dismiss = (event: string): Promise<api.Empty> => remove(`/waiting/${event}`);
export const succeed = (room: string): Promise<api.Successor> => post(`/rooms/${room}/successor`);
export const nearby = (): Promise<api.Nearby> => get('/nearby');
export const peers = (): Promise<api.Peers> => get('/admin/peers');
export const addPeer = (address: string): Promise<api.Peer> => post('/admin/peers', { address });
export const peer = (node: string): Promise<api.Peer> => get(`/admin/peers/${node}`);
export const changePeer = (node: string, body: api.ChangePeer): Promise<api.Peer> =>
  patch(`/admin/peers/${node}`, body);
export const pingPeer = (node: string): Promise<api.PingPeer> => post(`/admin/peers/${node}/ping`);
export const trace = (address: string): Promise<api.Trace> => post('/admin/trace', { address });
export const reach = (): Promise<api.Reach> => get('/admin/reach');
export const callBack = (): Promise<api.CallBacks> => post('/admin/reach/call-back');
export const dialPeer = (node: string): Promise<api.Peer> => post(`/admin/peers/${node}/dial`);
export const phrase = (): Promise<api.Phrase> => get('/setup/phrase');
export const confirmSetup = (body: api.ConfirmSetup): Promise<api.Empty> => post('/setup/confirm', body);
export const invites = (): Promise<api.Links> => get('/admin/invites');
export const makeInvite = (body: api.MakeInvite): Promise<api.Link> => post('/admin/invites', body);
export const dropInvite = (id: string): Promise<api.Empty> => remove(`/admin/invites/${part(id)}`);
export const accounts = (after: string): Promise<api.Accounts> => get(`/admin/users${after ? query({ after }) : ''}`);
export const changeAccount = (user: string, body: api.ChangeAccount): Promise<api.Account> =>
  patch(`/admin/users/${part(user)}`, body);
export const resetAccount = (user: string): Promise<api.Link> => post(`/admin/users/${part(user)}/reset-password`);
export const calls = (): Promise<api.AdminCalls> => get('/admin/calls');
export const settings = (): Promise<api.NodeSettings> => get('/admin/settings');
export const changeSettings = (body: api.ChangeSettings): Promise<api.NodeSettings> => patch('/admin/settings', body);

// The list of rooms with their unread counts.
import { byId, element } from './dom.js';

export const short = (count) => (count > 99 ? '99+' : String(count));

export function drawRooms(rooms, current, open) {
  const list = byId('rooms'), made = rooms.map((room) => rowOf(list, room, room === current, open));
  list.replaceChildren(...made);
  const elsewhere = rooms.reduce((sum, room) => sum + (room === current ? 0 : room.unread), 0);
  byId('elsewhere').hidden = !elsewhere;
  byId('elsewhere').textContent = short(elsewhere);
  byId('back').setAttribute('aria-label', elsewhere ? `All rooms, ${elsewhere} unread` : 'All rooms');
  return elsewhere + (current?.unread ?? 0);
}

/** The row that the list has for a room keeps its place in the order of the keyboard. */
function rowOf(list, room, isCurrent, open) {
  const row = [...list.children].find((each) => each.room === room) ?? newRow(room, open);
  const button = row.firstChild, [name, badge] = button.children;
  const isUnread = room.unread > 0 && !isCurrent;
  name.classList.toggle('is-unread', isUnread);
  badge.hidden = !isUnread;
  badge.textContent = short(room.unread);
  badge.setAttribute('aria-label', `${room.unread} unread`);
  if (isCurrent) button.setAttribute('aria-current', 'page');
  else button.removeAttribute('aria-current');
  return row;
}

function newRow(room, open) {
  const row = element('li'), button = element('button', '', '', { type: 'button' });
  row.room = room;
  button.append(element('span', '', room.name), element('span', 'badge', '', { role: 'img' }));
  button.addEventListener('click', () => open(room));
  row.append(button);
  return row;
}

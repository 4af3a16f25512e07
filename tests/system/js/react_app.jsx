// Somebody's application around docs/examples/react.jsx: its address says which gateway, room and token.
import { createRoot } from 'react-dom/client';
import { Room } from '../../../docs/examples/react.jsx';

const asked = new URLSearchParams(location.search), gateway = asked.get('gateway'), token = asked.get('token');
const { connect } = await import(`${gateway}/chat.js`);
window.chat = connect({ url: gateway, token: async () => token });
createRoot(document.body.appendChild(document.createElement('main'))).render(<Room chat={window.chat} name={asked.get('room')} />);

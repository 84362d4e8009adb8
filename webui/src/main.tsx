/** The beginning: the token of the link, the connection, the page. */
import './styles/all.css';
import { render } from 'preact';
import { logIn, tokenOfAddress } from './api/session';
import { App } from './app/app';
import { keepAlerts } from './app/alerts';
import { keepEta } from './app/eta';
import { listenToKeys } from './app/keys';
import { keepTitle } from './app/title';
import { listenToDrops } from './launch/drop';
import { connect } from './live/store';

const token = tokenOfAddress();
if (token !== undefined) {
  // A wrong token leads to the page that asks for it.
  await logIn(token).catch(() => undefined);
}
connect();
listenToKeys();
listenToDrops();
keepTitle();
keepAlerts();
keepEta();
const place = document.getElementById('page');
if (place) render(<App />, place);

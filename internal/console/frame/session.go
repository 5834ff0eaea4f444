package frame

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"authferry/internal/address"
	"authferry/internal/console/people"
	"authferry/internal/printable"
	"authferry/internal/secret"
	"authferry/tokens/store"
)

// The cookie that holds a session. Over TLS the prefix __Host- makes browsers
// accept it from this host alone, and only over TLS (RFC 6265bis §4.1.3.2).
const (
	sessionCookie       = "authferry"
	sessionCookieSecure = "__Host-authferry"
)

// secure reports whether people reach the console over TLS.
func secure(r *Request) bool {
	return r.HTTP.TLS != nil || strings.HasPrefix(r.Access.URL, "https://")
}

func sessionCookieName(r *Request) string {
	if secure(r) {
		return sessionCookieSecure
	}
	return sessionCookie
}

// setSession gives the browser the cookie of a session, or removes it if token is
// empty.
func setSession(r *Request, token secret.String) {
	setCookie(r, &http.Cookie{Name: sessionCookieName(r), SameSite: http.SameSiteStrictMode}, token, people.SessionLife)
}

func setCookie(r *Request, cookie *http.Cookie, value secret.String, life time.Duration) {
	cookie.Value, cookie.Path, cookie.MaxAge = value.Reveal(), "/", int(life.Seconds())
	cookie.HttpOnly, cookie.Secure = true, secure(r)
	if value.Empty() {
		cookie.MaxAge = -1
	}
	http.SetCookie(r.W, cookie)
}

func laxName(r *Request, name string) string {
	if secure(r) {
		return "__Host-" + name
	}
	return name
}

// SetLaxCookie sets a cookie that browsers also send when another site leads to
// the console; an empty value removes it.
func SetLaxCookie(r *Request, name string, value secret.String, life time.Duration) {
	setCookie(r, &http.Cookie{Name: laxName(r, name), SameSite: http.SameSiteLaxMode}, value, life)
}

// LaxCookie returns the value of a cookie that SetLaxCookie has set.
func LaxCookie(r *Request, name string) secret.String {
	if cookie, err := r.HTTP.Cookie(laxName(r, name)); err == nil {
		return secret.String(cookie.Value)
	}
	return ""
}

// identify finds the user of a request: the one that a reverse proxy names, or the
// one whose session the browser has.
func identify(r *Request) error {
	if r.User != nil {
		return nil
	}
	if r.Access.vouches(r.HTTP) {
		return believe(r)
	}
	cookie, err := r.HTTP.Cookie(sessionCookieName(r))
	if err != nil {
		return nil
	}
	d, err := r.frame.Users.Read(r.Context())
	if err != nil {
		return err
	}
	now := r.Now()
	r.Session, r.User = d.SignedIn(secret.String(cookie.Value), now)
	if r.Session == nil || !r.Session.Stale(now) {
		return nil
	}
	key := r.Session.Key()
	return r.frame.Users.Edit(r.Context(), func(d *people.Directory) error {
		if s := d.Sessions[key]; s != nil {
			s.Seen, s.From = now.UTC(), r.From().String()
		}
		return nil
	})
}

// believe accepts the user that a reverse proxy names. A name that is not an
// administrator's has to be the address of a mailbox, whose owner it is then. An
// alias is not accepted: the configuration gives those to devices, and another
// person may have that name at the reverse proxy.
func believe(r *Request) error {
	names := r.HTTP.Header.Values(r.Access.Header)
	if len(names) != 1 { // the proxy appends to a header that the client sent
		return r.Refuse(http.StatusForbidden, "error.names", "header", r.Access.Header)
	}
	name := names[0]
	unknown := r.Refuse(http.StatusForbidden, keyUnknownName, "name", printable.Quote(name))
	if people.CheckName(name) != nil {
		return unknown
	}
	folded := people.FoldName(name)
	if slices.ContainsFunc(r.Access.Administrators, func(a string) bool { return people.FoldName(a) == folded }) {
		r.User = &people.User{Name: name, Role: people.Administrator}
		return nil
	}
	if address.Check(folded) != nil {
		return unknown
	}
	a, err := r.frame.Vault.Account(r.Context(), folded)
	switch {
	case errors.Is(err, store.ErrNoMailbox), err == nil && a.Mailbox != folded: // an alias
		return unknown
	case err != nil:
		return err
	}
	r.User = &people.User{Name: name, Role: people.Owner, Mailboxes: []string{folded}}
	return nil
}

const keyUnknownName = "error.stranger"

// isUnknownName reports whether an error says that a reverse proxy names a person
// whom the console does not know.
func isUnknownName(err error) bool {
	r, ok := errors.AsType[*refusal](err)
	return ok && r.key == keyUnknownName
}

// beginSession signs the browser in with a new session in place of the one it has:
// another person may know that one (session fixation). change edits the directory
// in the same step and returns the user.
func beginSession(r *Request, byLink bool, change func(*people.Directory) (*people.User, error)) error {
	token, now := people.NewToken(), r.Now().UTC()
	err := r.frame.Users.Edit(r.Context(), func(d *people.Directory) error {
		who, err := change(d)
		if err != nil {
			return err
		}
		if old, err := r.HTTP.Cookie(sessionCookieName(r)); err == nil {
			delete(d.Sessions, people.HashToken(secret.String(old.Value)))
		}
		who.SignedIn = now
		d.Begin(token, people.Session{
			User: people.FoldName(who.Name), Created: now, Seen: now,
			From: r.From().String(), Browser: browserName(r.HTTP.UserAgent()), ByLink: byLink,
		})
		return nil
	})
	if err == nil {
		setSession(r, token)
	}
	return err
}

// browserName returns a name for a browser, enough for people to recognize theirs.
func browserName(agent string) string {
	system := ""
	for _, s := range []struct{ sign, name string }{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"},
		{"Macintosh", "Mac"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	} {
		if strings.Contains(agent, s.sign) {
			system = s.name
			break
		}
	}
	for _, b := range []struct{ sign, name string }{ // most name several browsers: the rarest first
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"Chrome/", "Chrome"}, {"CriOS/", "Chrome"}, {"Safari/", "Safari"},
	} {
		if strings.Contains(agent, b.sign) {
			return strings.TrimSuffix(b.name+", "+system, ", ")
		}
	}
	name, _, _ := strings.Cut(agent, "/")
	if name == "" || !printable.Is(name) {
		return system
	}
	return printable.Prefix(name, 40)
}

// toSignIn answers a request for a page that needs a user.
func toSignIn(r *Request) error {
	if r.HTTP.Method != http.MethodGet {
		return r.Refuse(http.StatusForbidden, "error.session")
	}
	if r.HTTP.URL.Path == "/" {
		return r.Redirect("/signin")
	}
	return r.Redirect("/signin?next=" + url.QueryEscape(r.HTTP.URL.Path))
}

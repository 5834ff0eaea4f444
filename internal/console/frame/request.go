package frame

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"go.uber.org/zap"

	"authferry/internal/console/pages"
	"authferry/internal/console/people"
	"authferry/tokens/store"
)

// Request is one request and its answer. Templates work on it as well: they find
// the texts in its methods, and what the page shows in Data.
type Request struct {
	pages.Printer
	W      http.ResponseWriter
	HTTP   *http.Request
	Access Access

	User    *people.User    // nil: not signed in
	Session *people.Session // nil: not signed in, or named by a reverse proxy
	Mailbox string          // the page's, canonical

	Page string // the name of the page that is shown
	Data any

	frame *Frame
}

// Context ends with the request.
func (r *Request) Context() context.Context { return r.HTTP.Context() }

// Form returns a field of the form that was sent, without space around it.
func (r *Request) Form(name string) string { return strings.TrimSpace(r.HTTP.PostFormValue(name)) }

// With returns the request for a part of a page: {{template "part" ($.With .)}}.
func (r *Request) With(data any) *Request {
	part := *r
	part.Data = data
	return &part
}

// Show answers with a page, pages/NAME.html.
func (r *Request) Show(name string, data any) error { return r.ShowAs(http.StatusOK, name, data) }

// ShowAs is Show with another status.
func (r *Request) ShowAs(status int, name string, data any) error {
	page := pages.Template(name)
	if page == nil {
		return fmt.Errorf("there is no page %q", name)
	}
	shown := r.With(data)
	shown.Page = name
	var b strings.Builder
	if err := page.ExecuteTemplate(&b, "layout", shown); err != nil {
		return fmt.Errorf("making the page %s: %w", name, err)
	}
	h := r.W.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", r.Language)
	r.W.WriteHeader(status)
	_, _ = r.W.Write([]byte(b.String())) // fails if the client has gone
	return nil
}

// refusal is an answer that says no, in words.
type refusal struct {
	status int
	key    string
	pairs  []any
}

func (r *refusal) Error() string { return r.key }

// Refuse returns an error that is answered with the text of a key.
func (r *Request) Refuse(status int, key string, pairs ...any) error {
	return &refusal{status, key, pairs}
}

// finish answers for an error.
func finish(r *Request, err error) {
	if err == nil {
		return
	}
	no, ok := errors.AsType[*refusal](err)
	if !ok && errors.Is(err, store.ErrNoMailbox) {
		no, ok = &refusal{http.StatusNotFound, "error.mailbox", []any{"mailbox", r.Mailbox}}, true
	}
	detail := ""
	if !ok {
		r.frame.Log.Error("the console could not answer", zap.String("method", r.HTTP.Method), zap.String("page", r.HTTP.Pattern), zap.Error(err))
		no = &refusal{http.StatusInternalServerError, "error.internal", nil}
		if r.User != nil {
			detail = err.Error()
		}
	}
	if err := r.ShowAs(no.status, "error", struct{ Words, Detail string }{r.T(no.key, no.pairs...), detail}); err != nil {
		r.frame.Log.Error("the console could not answer", zap.Error(err))
		http.Error(r.W, "authferry: internal error; see its log", http.StatusInternalServerError)
	}
}

// Redirect sends the browser to another page of the console.
func (r *Request) Redirect(path string) error {
	http.Redirect(r.W, r.HTTP, path, http.StatusSeeOther)
	return nil
}

// Done sends the browser to a page that reports what was done: the text done.KEY.
func (r *Request) Done(path, key string) error {
	return r.Redirect(path + "?done=" + url.QueryEscape(key))
}

// Notice returns what the page before has done, if anything. It is one of the
// console's own texts, since anyone can write into a link.
func (r *Request) Notice() string {
	key := "done." + r.HTTP.URL.Query().Get("done")
	if !pages.Known(key) {
		return ""
	}
	return r.T(key)
}

// Next returns the page to go to after this one, never one of another site.
func (r *Request) Next() string {
	path := r.HTTP.FormValue("next")
	u, err := url.Parse(path)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.HasPrefix(u.Path, "//") || strings.ContainsAny(path, "\\\r\n\t") {
		return "/"
	}
	return path
}

// Here returns the path of the page itself, to come back to.
func (r *Request) Here() string {
	if r.HTTP.Method != http.MethodGet || r.HTTP.Pattern == "GET /enter/{token}" {
		return "/"
	}
	return r.HTTP.URL.Path
}

// At reports whether the page is the menu's page at a path, or below it.
func (r *Request) At(path string) bool {
	at := r.HTTP.URL.Path
	if path == "/" {
		return at == "/" || strings.HasPrefix(at, "/mailboxes/")
	}
	return at == path || strings.HasPrefix(at, path+"/")
}

// ByProxy reports whether a reverse proxy names the user.
func (r *Request) ByProxy() bool { return r.User != nil && r.Session == nil }

// Version returns authferry's version.
func (r *Request) Version() string { return r.frame.Version }

// Navigation returns the menu.
func (r *Request) Navigation() []MenuItem { return r.Allowed(r.frame.Menu) }

// Allowed returns those of a menu's pages that the user may open.
func (r *Request) Allowed(all []MenuItem) []MenuItem {
	return slices.DeleteFunc(slices.Clone(all), func(m MenuItem) bool {
		return r.User == nil || m.Who == Administrators && !r.User.Administrator()
	})
}

// MailboxPath returns the path of a mailbox's page, or of one below it.
func (r *Request) MailboxPath(mailbox string, below ...string) string {
	return MailboxPath(mailbox, below...)
}

// MailboxPath returns the path of a mailbox's page, or of one below it.
func MailboxPath(mailbox string, below ...string) string {
	path := "/mailboxes/" + url.PathEscape(mailbox)
	for _, b := range below {
		path += "/" + b
	}
	return path
}

// From returns the browser's address.
func (r *Request) From() netip.Addr { return r.Access.from(r.HTTP) }

// Note logs a change with the user who made it.
func (r *Request) Note(what string, fields ...zap.Field) {
	r.frame.Log.Info(what, append([]zap.Field{zap.String("user", r.User.Name), zap.String("client", r.From().String()), zap.String("mailbox", r.Mailbox)}, fields...)...)
}

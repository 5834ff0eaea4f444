package console

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"

	"authferry/tokens/store"
)

// visit is one request and its answer.
type visit struct {
	*Console
	w        http.ResponseWriter
	r        *http.Request
	language string

	user    *user           // nil: nobody is signed in
	session *browserSession // nil: nobody is, or a reverse proxy says who
	mailbox string          // that the page is about, canonical
}

func (c *Console) visit(w http.ResponseWriter, r *http.Request) *visit {
	return &visit{Console: c, w: w, r: r, language: languageOf(r)}
}

// view is what a template works on: .T and its like of the visit, and .Data of
// the page. Within a range, $ is still the view.
type view struct {
	*visit
	Page string
	Data any
}

// With is the view of a part of a page: {{template "part" ($.With .)}}.
func (v view) With(data any) view { return view{v.visit, v.Page, data} }

// show answers with a page, pages/NAME.html.
func (v *visit) show(name string, data any) error { return v.showAs(http.StatusOK, name, data) }

func (v *visit) showAs(status int, name string, data any) error {
	page := pages()[name]
	if page == nil {
		return fmt.Errorf("there is no page %q", name)
	}
	var b strings.Builder
	if err := page.ExecuteTemplate(&b, "layout", view{v, name, data}); err != nil {
		return fmt.Errorf("making the page %s: %w", name, err)
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", v.language)
	v.w.WriteHeader(status)
	_, _ = v.w.Write([]byte(b.String())) // whoever asked has gone if this fails
	return nil
}

// refusal is an answer that says no, in words.
type refusal struct {
	status int
	key    string
	pairs  []any
}

func (r *refusal) Error() string { return r.key }

// refuse returns an error that is answered with a page of its own.
func (v *visit) refuse(status int, key string, pairs ...any) error {
	return &refusal{status, key, pairs}
}

// finish answers for an error.
func (v *visit) finish(err error) {
	if err == nil {
		return
	}
	r, ok := errors.AsType[*refusal](err)
	if !ok && errors.Is(err, store.ErrNoMailbox) {
		r, ok = &refusal{http.StatusNotFound, "error.mailbox", []any{"mailbox", v.mailbox}}, true
	}
	detail := ""
	if !ok {
		v.Log.Error("the console could not answer", zap.String("method", v.r.Method), zap.String("page", v.r.Pattern), zap.Error(err))
		r = &refusal{http.StatusInternalServerError, "error.internal", nil}
		if v.user != nil {
			detail = err.Error()
		}
	}
	if err := v.showAs(r.status, "error", struct{ Words, Detail string }{v.T(r.key, r.pairs...), detail}); err != nil {
		v.Log.Error("the console could not answer", zap.Error(err))
		http.Error(v.w, "authferry: something went wrong; its log says what", http.StatusInternalServerError)
	}
}

// redirect sends the browser to a page of ours.
func (v *visit) redirect(path string) error {
	http.Redirect(v.w, v.r, path, http.StatusSeeOther)
	return nil
}

// done sends the browser to a page that says what was done: the text done.KEY.
func (v *visit) done(path, key string) error {
	return v.redirect(path + "?done=" + url.QueryEscape(key))
}

// Notice is what the page before has done, if anything. Only what is a text of
// ours is said: whoever makes a link may write anything into it.
func (v *visit) Notice() string {
	key := "done." + v.r.URL.Query().Get("done")
	if _, ok := texts()[english][key]; !ok {
		return ""
	}
	return v.T(key)
}

// next is the page of ours to go to after this one; other sites' are not.
func (v *visit) next() string {
	path := v.r.FormValue("next")
	u, err := url.Parse(path)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.HasPrefix(u.Path, "//") || strings.ContainsAny(path, "\\\r\n\t") {
		return "/"
	}
	return path
}

// Here is the page itself, to come back to.
func (v *visit) Here() string {
	if v.r.Method != http.MethodGet || v.r.Pattern == "GET /enter/{token}" {
		return "/"
	}
	return v.r.URL.Path
}

// At tells whether the page is the one of the menu at a path, or below it.
func (v *visit) At(path string) bool {
	if path == "/" {
		return v.r.URL.Path == "/" || strings.HasPrefix(v.r.URL.Path, "/mailboxes/")
	}
	return v.r.URL.Path == path || strings.HasPrefix(v.r.URL.Path, path+"/")
}

// User is who is signed in, or nil.
func (v *visit) User() *user { return v.user }

// Administrator tells whether an administrator is.
func (v *visit) Administrator() bool { return v.user != nil && v.user.administrator() }

// ByProxy tells whether a reverse proxy says who is signed in.
func (v *visit) ByProxy() bool { return v.user != nil && v.session == nil }

// MailboxPath is the page of a mailbox, or one below it.
func (v *visit) MailboxPath(mailbox string, below ...string) string {
	return mailboxPath(mailbox, below...)
}

func mailboxPath(mailbox string, below ...string) string {
	path := "/mailboxes/" + url.PathEscape(mailbox)
	for _, b := range below {
		path += "/" + b
	}
	return path
}

// When is a moment; the script makes it one of the browser's time zone.
func (v *visit) When(t time.Time) template.HTML {
	if t.IsZero() {
		return ""
	}
	t = t.UTC()
	return template.HTML(`<time datetime="` + t.Format(time.RFC3339) + `">` + t.Format("2006-01-02 15:04") + ` UTC</time>`)
}

// Ago is how long ago a moment was, in its biggest unit.
func (v *visit) Ago(t time.Time) string {
	d := v.now().Sub(t)
	if d < time.Minute {
		return v.T("time.now")
	}
	return v.T("time.ago", "span", v.Span(d))
}

// Until is how far off a moment is.
func (v *visit) Until(t time.Time) string {
	return v.Span(t.Sub(v.now()))
}

// Span is a duration in its biggest unit.
func (v *visit) Span(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Hour:
		return v.N("time.minutes", max(1, int(d.Minutes())))
	case d < 48*time.Hour:
		return v.N("time.hours", int(d.Hours()))
	}
	return v.N("time.days", int(d.Hours())/24)
}

package console

import (
	"net/http"
	"slices"
	"strings"

	"go.uber.org/zap"

	"authferry/internal/console/form"
	"authferry/internal/console/frame"
	"authferry/internal/console/pages"
	"authferry/internal/mailsettings"
	"authferry/internal/printable"
	"authferry/internal/protocol"
	"authferry/internal/secret"
	"authferry/tokens"
	"authferry/tokens/store"
)

// passwordForm is the form for a new password, as it was filled in.
type passwordForm struct {
	Name, Networks, Expires, Messages, Recipients, Length string

	Protocols []protocol.Protocol
	ReadOnly  bool

	Trouble string // what is wrong with it
	Field   string // the field that Trouble is about
}

// For reports whether a protocol is chosen; an empty form has all of them.
func (f passwordForm) For(p protocol.Protocol) bool {
	return len(f.Protocols) == 0 && f.Trouble == "" || slices.Contains(f.Protocols, p)
}

// Special reports whether fields other than the name were filled in.
func (f passwordForm) Special() bool {
	return f.Networks != "" || f.Expires != "" || f.Messages != "" || f.Recipients != "" || f.ReadOnly || f.Length != "" ||
		f.Trouble != "" && f.Field != "name"
}

// MailProtocols returns the protocols to choose from.
func (f passwordForm) MailProtocols() []protocol.Protocol { return protocol.All[:] }

// readPasswordForm reads the form. What is wrong with it is in Trouble.
func readPasswordForm(r *frame.Request) (passwordForm, tokens.PasswordSpec) {
	f := passwordForm{
		Name: r.Form("name"), Networks: r.Form("networks"), Expires: r.Form("expires"),
		Messages: r.Form("messages"), Recipients: r.Form("recipients"), Length: r.Form("length"),
		Protocols: protocol.List(r.HTTP.PostForm["protocol"]), ReadOnly: r.Form("read-only") != "",
	}
	var fields form.Reader
	spec := tokens.PasswordSpec{
		Name: f.Name, ReadOnly: f.ReadOnly,
		Protocols: fields.Protocols(f.Protocols), Networks: fields.Networks(f.Networks), Expires: fields.LastDay(f.Expires),
		MessagesPerHour: fields.Number(tokens.FieldMessages, f.Messages),
		Recipients:      fields.Number(tokens.FieldRecipients, f.Recipients),
		Length:          fields.Number(tokens.FieldLength, f.Length),
	}
	fields.Check(&spec, r.Now())
	if len(fields.Wrong) > 0 {
		f.Trouble, f.Field = fields.Wrong.Text(r.Printer), fields.Wrong[0].Field
	}
	return f, spec
}

// hasPassword reports whether a mailbox has a password of a name.
func hasPassword(a *store.Account, name string) bool {
	return slices.ContainsFunc(a.Passwords, func(p store.Password) bool { return strings.EqualFold(p.Name, name) })
}

// addPassword makes a password and shows it. This answer is the only one that
// contains it, and no cache keeps it.
func addPassword(c *Console, r *frame.Request) error {
	if err := r.HTTP.ParseForm(); err != nil {
		return r.Refuse(http.StatusBadRequest, "error.form")
	}
	a, err := c.Vault.Account(r.Context(), r.Mailbox)
	if err != nil {
		return err
	}
	f, spec := readPasswordForm(r)
	if f.Trouble == "" && hasPassword(a, f.Name) {
		f.Field, f.Trouble = "name", r.T("password.taken", "name", f.Name)
	}
	if f.Trouble != "" {
		return mailboxPage(c, r, http.StatusUnprocessableEntity, f)
	}
	made, err := c.Vault.AddPassword(r.Context(), r.Mailbox, spec)
	if err != nil {
		f.Trouble = err.Error()
		return mailboxPage(c, r, http.StatusUnprocessableEntity, f)
	}
	r.Note("console: password added", zap.String("password", spec.Name))
	return r.Show("password", madePassword{
		r.Mailbox, spec.Name, made, mailsettings.ServersFor(c.Servers(), &spec), c.cards(r.Mailbox, r.Language),
	})
}

// madePassword is a password that has just been made, to show once, with the other
// settings of a mail program.
type madePassword struct {
	Mailbox, Name string
	Secret        secret.String
	Servers       []mailsettings.Server // that it can be used with
	Cards         []mailsettings.Card
}

// Reveal returns the password itself.
func (p madePassword) Reveal() string { return p.Secret.Reveal() }

// revokePassword revokes a password; its sessions end at once. Revoking one that
// is gone is no error: the person may have pressed twice.
func revokePassword(c *Console, r *frame.Request) error {
	name := r.HTTP.PostFormValue("name")
	if err := c.Vault.RevokePassword(r.Context(), r.Mailbox, name); err != nil {
		a, accountErr := c.Vault.Account(r.Context(), r.Mailbox)
		if accountErr != nil || hasPassword(a, name) {
			return err
		}
	}
	c.Sweep()
	r.Note("console: password revoked", zap.String("password", printable.Quote(name)))
	return r.Done(frame.MailboxPath(r.Mailbox), "revoked")
}

// passwordRow is a password with its limits in words.
type passwordRow struct {
	store.Password
	May string
}

// limits returns what a password may be used for, in words.
func limits(t pages.Printer, p store.Password) string {
	var words []string
	if len(p.Protocols) > 0 {
		words = append(words, strings.ToUpper(protocol.Join(p.Protocols, ", ")))
	}
	if p.ReadOnly {
		words = append(words, t.T("password.readonly"))
	}
	if len(p.Networks) > 0 {
		var list []string
		for _, n := range p.Networks {
			list = append(list, n.String())
		}
		words = append(words, t.T("password.only", "networks", strings.Join(list, ", ")))
	}
	if p.MessagesPerHour > 0 {
		words = append(words, t.N("password.perhour", p.MessagesPerHour))
	}
	if p.Recipients > 0 {
		words = append(words, t.N("password.permessage", p.Recipients))
	}
	switch {
	case p.Expires.IsZero():
	case p.Expires.After(t.Now()):
		words = append(words, t.T("password.ends", "span", t.Until(p.Expires)))
	default:
		words = append(words, t.T("password.over"))
	}
	if len(words) == 0 {
		return t.T("password.all")
	}
	return strings.Join(words, " · ")
}

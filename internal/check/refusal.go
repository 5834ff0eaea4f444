package check

import (
	"fmt"
	"strings"

	"authferry/tokens/oauth"
)

// rule says what helps where a mail server's refusal has some words in it.
type rule struct {
	words []string // any of them, in lower case
	fix   string   // %s is the mailbox
	page  string
}

// Pages where an owner or an administrator mends something.
const (
	gmailPOPPage   = "https://mail.google.com/mail/#settings/fwdandpop"
	gmailAdminPage = "https://admin.google.com/ac/apps/gmail/enduseraccess"
	smtpAuthPage   = "https://aka.ms/smtp_auth_disabled"
	webLoginPage   = "https://support.google.com/mail/answer/78754"
)

// rules in the order in which they are tried; the words are Gmail's and
// Microsoft's as they have been seen.
var rules = []rule{
	{[]string{"access is disabled for your domain"}, "have the administrator of the domain allow it: Apps, Google Workspace, Gmail, End User Access, POP and IMAP access", gmailAdminPage},
	{[]string{"not enabled for pop"}, "sign in to Gmail as %s and enable POP: Settings, Forwarding and POP/IMAP", gmailPOPPage},
	{[]string{"not enabled for imap"}, "have the administrator of the domain allow IMAP: Apps, Google Workspace, Gmail, End User Access, POP and IMAP access", gmailAdminPage},
	{[]string{"smtpclientauthentication is disabled"}, "have the administrator allow it: Set-CASMailbox -Identity %s -SmtpClientAuthenticationDisabled $false", smtpAuthPage},
	{[]string{"authenticated but not connected"}, "see whether the mailbox %s has a licence and has IMAP and POP switched on (Microsoft 365 admin centre, Users, Mail, Manage email apps); a shared mailbox also needs Full Access for whoever signed in", "https://admin.microsoft.com"},
	{[]string{"web browser", "web login"}, "sign in to %s with a browser, do what Google asks there, and try again", webLoginPage},
	{[]string{"lookup failed"}, "%s is no mailbox of the provider's: connect the address that the mail arrives at", ""},
	{[]string{"too many", "in-use", "bandwidth limits", "login-delay", "throttled"}, "wait an hour, and close programs that hold connections to %s: providers take a limited number (Gmail: 15)", ""},
	{[]string{"temporary", "try again", "unavailable"}, "wait: the provider has trouble of its own, and authferry tries again by itself", ""},
}

// refusal is a server's no, with what to do about it.
func (v *visit) refusal(text string) finding {
	f := failed("", "%s says %s", v.endpoint.Host, v.secrets.said(text))
	f.fix, f.page = v.advice(strings.ToLower(text))
	return f
}

func (v *visit) advice(text string) (fix, page string) {
	for _, r := range rules {
		for _, words := range r.words {
			if strings.Contains(text, words) {
				if strings.Contains(r.fix, "%s") {
					return fmt.Sprintf(r.fix, v.grant.Mailbox), r.page
				}
				return r.fix, r.page
			}
		}
	}
	if !v.grant.Provider.Flow.NeedsPerson() {
		a := oauth.CauseDelegation.Advice(v.grant.Mailbox, v.grant.Provider)
		return a.Fix, a.Page
	}
	return fmt.Sprintf("connect it again as %s itself, with every box ticked: %s; if that changes nothing, see whether the account may use %s",
		v.grant.Mailbox, connectCommand(v.grant.Mailbox, v.grant.Provider), strings.ToUpper(v.protocol)), ""
}

// connectCommand is how to give consent for a mailbox.
func connectCommand(mailbox string, p *oauth.Provider) string {
	command := "authferry connect " + mailbox
	if p != nil && p.Name != "gmail" {
		command += " --provider " + p.Name
	}
	return command
}

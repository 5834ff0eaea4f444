package check

import (
	"fmt"
	"strings"

	"authferry/internal/protocol"
	"authferry/tokens"
	"authferry/tokens/oauth"
)

// rule is what to do about a mail server's refusal that contains certain words.
type rule struct {
	words []string // any of them, in lower case
	fix   string   // %s is the mailbox
	page  string
}

// Pages where an owner or an administrator fixes a refusal.
const (
	gmailPOPPage   = "https://mail.google.com/mail/#settings/fwdandpop"
	gmailAdminPage = "https://admin.google.com/ac/apps/gmail/enduseraccess"
	smtpAuthPage   = "https://aka.ms/smtp_auth_disabled"
	webLoginPage   = "https://support.google.com/mail/answer/78754"
)

// rules in the order in which they are tried; the words are those that Gmail and
// Microsoft have been seen to use.
var rules = []rule{
	{[]string{"access is disabled for your domain"}, "the administrator of the domain must allow it: Apps, Google Workspace, Gmail, End User Access, POP and IMAP access", gmailAdminPage},
	{[]string{"not enabled for pop"}, "sign in to Gmail as %s and enable POP: Settings, Forwarding and POP/IMAP", gmailPOPPage},
	{[]string{"not enabled for imap"}, "the administrator of the domain must allow IMAP: Apps, Google Workspace, Gmail, End User Access, POP and IMAP access", gmailAdminPage},
	{[]string{"smtpclientauthentication is disabled"}, "the administrator must allow it: Set-CASMailbox -Identity %s -SmtpClientAuthenticationDisabled $false", smtpAuthPage},
	{[]string{"authenticated but not connected"}, "check whether the mailbox %s has a licence and whether IMAP and POP are enabled (Microsoft 365 admin centre, Users, Mail, Manage email apps); a shared mailbox also needs Full Access for the user who signed in", "https://admin.microsoft.com"},
	{[]string{"web browser", "web login"}, "sign in to %s with a browser, do what Google asks there, and try again", webLoginPage},
	{[]string{"lookup failed"}, "%s is not a mailbox of the provider: connect the address that the mail arrives at", ""},
	{[]string{"too many", "in-use", "bandwidth limits", "login-delay", "throttled"}, "wait an hour, and close programs that hold connections to %s: providers limit their number (Gmail: 15)", ""},
	{[]string{"temporary", "try again", "unavailable"}, "wait: the provider has a problem, and authferry tries again", ""},
}

// refusalAdvice returns what to do about a server's refusal, given in lower case.
func refusalAdvice(g *tokens.Grant, proto protocol.Protocol, text string) (fix, page string) {
	for _, r := range rules {
		for _, words := range r.words {
			if strings.Contains(text, words) {
				if strings.Contains(r.fix, "%s") {
					return fmt.Sprintf(r.fix, g.Mailbox), r.page
				}
				return r.fix, r.page
			}
		}
	}
	if !g.Provider.Flow.NeedsPerson() {
		a := oauth.CauseDelegation.Advice(g.Mailbox, g.Provider)
		return a.Fix, a.Page
	}
	return fmt.Sprintf("connect it again as %s itself, with every box ticked: %s; if that changes nothing, check whether the account may use %s",
		g.Mailbox, connectCommand(g.Mailbox, g.Provider), proto.Upper()), ""
}

// connectCommand returns the command that connects a mailbox.
func connectCommand(mailbox string, p *oauth.Provider) string {
	command := "authferry connect " + mailbox
	if p != nil && p.Name != "gmail" {
		command += " --provider " + p.Name
	}
	return command
}

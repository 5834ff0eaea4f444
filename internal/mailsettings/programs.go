package mailsettings

// cardPrograms lists the programs by kind: cloud services, desktop programs,
// devices, and code. Labels that begin with "=" are in the language of the screen,
// whatever the reader's language is.
//
// The screens are those of the vendors' manuals:
//
//	https://www.livespace.io/pl/kb/podlaczanie-poczty-e-mail-do-crm/
//	https://firmao.pl/crm/instrukcja/skrzynka-pocztowa-w-firmao/
//	https://learn.microsoft.com/power-platform/admin/connect-to-imap-servers
//	https://support.mozilla.org/kb/manual-account-configuration
//	https://support.apple.com/HT204093
//
// Dynamics uses STARTTLS on port 587 in its own profile for Gmail. Its manual does
// not say whether it supports implicit TLS.
//
// Customer Contact's manual shows its form as a picture only, so that the labels
// here are general ones.
var cardPrograms = []cardProgram{
	{
		id: "livespace", title: "Livespace CRM", reach: elsewhere, cloud: true, needs: []string{"in"},
		rows: []cardRow{
			{"=Login", cardAddress}, {"=Hasło", cardPassword},
			{"=Adres serwera IMAP", inHost}, {"=Zabezpieczenie", inSSL}, {"=Port", inPort},
			{"=Adres serwera SMTP", outHost}, {"=Zabezpieczenie (SMTP)", outSSL}, {"=Port (SMTP)", outPort},
		},
		notes: []string{"livespace.where", "livespace.sending", "livespace.failures"},
	},
	{
		id: "firmao", title: "Firmao CRM", reach: elsewhere, cloud: true, needs: []string{"in"},
		rows: []cardRow{
			{"=Adres email", cardAddress}, {"=Hasło", cardPassword},
			{"=Serwer poczty przychodzącej", inHost}, {"=Port", inPort}, {"=Szyfrowanie", inSSL},
			{"=Serwer poczty wychodzącej", outHost}, {"=Port (SMTP)", outPort}, {"=Szyfrowanie (SMTP)", outSSL},
		},
		notes: []string{"firmao.where", "firmao.change"},
	},
	{
		id: "customer-contact", title: "CM.com Customer Contact", reach: elsewhere, cloud: true, needs: []string{"in"},
		rows:  generalRows,
		notes: []string{"customercontact.where", "customercontact.name"},
	},
	{
		id: "dynamics", title: "Dynamics 365", alsoKnownAs: []string{"dynamics365"}, reach: elsewhere, cloud: true,
		startTLS: true, needs: []string{"in"},
		rows: []cardRow{
			{"dynamics.type", cardText("dynamics.kind_other")}, {"dynamics.name", cardLiteral("authferry")},
			{"dynamics.authentication", cardText("dynamics.credential")},
			{"dynamics.protocol", inProtocol},
			{"dynamics.incoming", inHost}, {"dynamics.incoming_port", inPort}, {"dynamics.incoming_ssl", inSwitch},
			{"dynamics.outgoing", outHost}, {"dynamics.outgoing_port", outPort}, {"dynamics.outgoing_ssl", outSwitch},
			{"dynamics.user", cardAddress}, {"dynamics.password", cardPassword},
		},
		notes: []string{"dynamics.where", "dynamics.mailbox", "dynamics.test"},
	},
	{
		id: "outlook", title: "Outlook 2007-2019", reach: anywhere, needs: []string{"in", "out"},
		rows: []cardRow{
			{"outlook.kind", inProtocol}, {"outlook.incoming", inHost}, {"outlook.outgoing", outHost},
			{"outlook.user", cardAddress}, {"outlook.password", cardPassword},
			{"outlook.incoming_port", inPort}, {"outlook.incoming_security", inSecurity},
			{"outlook.outgoing_port", outPort}, {"outlook.outgoing_security", outSecurity},
		},
		notes: []string{"outlook.where", "outlook.spa", "outlook.same"},
	},
	{
		id: "thunderbird", title: "Thunderbird", reach: anywhere, needs: []string{"in"},
		rows: []cardRow{
			{"thunderbird.protocol", inProtocol}, {"thunderbird.incoming", inHost}, {"thunderbird.incoming_port", inPort},
			{"thunderbird.incoming_security", inSecurity}, {"thunderbird.incoming_method", cardNormal}, {"thunderbird.incoming_user", cardAddress},
			{"thunderbird.outgoing", outHost}, {"thunderbird.outgoing_port", outPort},
			{"thunderbird.outgoing_security", outSecurity}, {"thunderbird.outgoing_method", outNormal}, {"thunderbird.outgoing_user", outUser},
			{"label.password", cardPassword},
		},
		notes: []string{"thunderbird.where"},
	},
	{
		id: "apple", title: "Apple Mail (Mac, iPhone, iPad)", alsoKnownAs: []string{"apple-mail", "iphone", "ipad"}, reach: anywhere, needs: []string{"in", "out"},
		rows: []cardRow{
			{"apple.kind", inProtocol}, {"apple.incoming", inHost}, {"apple.user", cardAddress}, {"apple.password", cardPassword},
			{"apple.incoming_port", inPort}, {"apple.incoming_ssl", inSwitch},
			{"apple.outgoing", outHost}, {"apple.outgoing_user", outUser}, {"apple.outgoing_password", outPassword},
			{"apple.outgoing_port", outPort}, {"apple.outgoing_ssl", outSwitch},
		},
		notes: []string{"apple.where", "apple.profile"},
	},
	{
		id: "printer", title: "Scanner, printer, NAS", alsoKnownAs: []string{"scanner", "nas"}, reach: elsewhere, needs: []string{"out"}, sendsOnly: true,
		rows: []cardRow{
			{"label.outgoing", outHost}, {"label.port", outPort}, {"label.security", outSecurity},
			{"printer.authentication", cardText("printer.login")},
			{"label.user", cardUser}, {"label.password", cardPassword}, {"printer.sender", cardAddress},
		},
		notes: []string{"printer.sender_why", "printer.cram", "printer.old"},
	},
	{
		id: "other", title: "IMAP, POP3, SMTP", reach: anywhere, rows: generalRows, notes: []string{"note.spa"},
	},
	{id: "msmtp", title: "msmtp", reach: here, needs: []string{"out"}, sendsOnly: true, file: ".msmtprc"},
	{id: "mbsync", title: "mbsync (isync)", alsoKnownAs: []string{"isync"}, reach: here, needs: []string{"in"}, imapOnly: true, file: ".mbsyncrc"},
	{id: "mutt", title: "mutt, NeoMutt", alsoKnownAs: []string{"neomutt"}, reach: here, needs: []string{"in", "out"}, file: ".muttrc"},
	{id: "python", title: "Python", reach: here, needs: []string{"in", "out"}, file: "mail.py"},
	{id: "php", title: "PHP (PHPMailer)", reach: here, needs: []string{"out"}, sendsOnly: true, file: "mail.php"},
	{id: "java", title: "Java (Jakarta Mail)", reach: here, needs: []string{"in", "out"}, file: "Mail.java"},
}

// generalRows are for programs whose screens are not known.
var generalRows = []cardRow{
	{"label.address", cardAddress}, {"label.user", cardAddress}, {"label.password", cardPassword},
	{"label.protocol", inProtocol}, {"label.incoming", inHost}, {"label.incoming_port", inPort}, {"label.incoming_security", inSecurity},
	{"label.outgoing", outHost}, {"label.outgoing_port", outPort}, {"label.outgoing_security", outSecurity},
	{"label.method", cardNormal},
}

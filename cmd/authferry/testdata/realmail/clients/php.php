<?php
// php.php imap|pop3 OUT with imap_open (c-client), php.php send FROM TO FILE... with PHPMailer
error_reporting(E_ALL);
[$host, $port, $security] = [getenv('HOST'), getenv('PORT'), getenv('SECURITY')];
[$user, $password] = [getenv('MAILUSER'), getenv('MAILPASS')];

function fetch(string $protocol, string $out): void
{
    global $host, $port, $security, $user, $password;
    // Behind STARTTLS c-client speaks TLS 1.0 at most.
    $flags = ['plain' => '/notls', 'tls' => '/ssl'][$security];
    $box = imap_open("{{$host}:$port/$protocol$flags}INBOX", $user, $password, $protocol === 'imap' ? OP_READONLY : 0, 1);
    if (!$box) {
        fail(implode("\n", imap_errors() ?: ['imap_open said nothing']));
    }
    for ($n = 1; $n <= imap_num_msg($box); $n++) {
        $file = fopen("$out/$n", 'wb');
        fwrite($file, imap_fetchheader($box, $n, FT_PREFETCHTEXT) . imap_body($box, $n, FT_PEEK));
        fclose($file);
    }
    imap_errors(); // c-client warns of AUTH=PLAIN on a connection without TLS
    imap_close($box);
}

function send(string $from, string $to, string ...$files): void
{
    global $host, $port, $security, $user, $password;
    foreach (['Exception', 'PHPMailer', 'SMTP'] as $class) {
        require_once "/usr/share/php/libphp-phpmailer/src/$class.php";
    }
    foreach ($files as $file) {
        $mail = new PHPMailer\PHPMailer\PHPMailer(true);
        $mail->isSMTP();
        $mail->Host = $host;
        $mail->Port = (int) $port;
        $mail->SMTPAuth = true;
        $mail->SMTPAutoTLS = true; // as everybody leaves it
        $mail->SMTPSecure = ['plain' => '', 'starttls' => 'tls', 'tls' => 'ssl'][$security];
        $mail->SMTPOptions = ['ssl' => ['cafile' => getenv('CA')]];
        $mail->SMTPDebug = 2;
        $mail->Username = $user;
        $mail->Password = $password;
        $mail->Timeout = 120;
        $mail->setFrom($from);
        $mail->addAddress($to);
        $mail->Subject = basename($file);
        $mail->Body = file_get_contents(getenv('BODY'));
        $mail->addAttachment($file);
        $mail->send();
    }
}

function fail(string $why): void
{
    fwrite(STDERR, $why . "\n");
    exit(1);
}

ini_set('memory_limit', '1G');
$arguments = array_slice($argv, 2);
$argv[1] === 'send' ? send(...$arguments) : fetch($argv[1], ...$arguments);

# Improvement score against relative compute.  Change it as you like and draw it again:
#   gnuplot improvement.gp >improvement.svg
#   gnuplot -c improvement.gp png >improvement.png
if (exists("ARGC") && ARGC > 0) {
    set terminal pngcairo size 1040,800 noenhanced font "sans-serif,22" linewidth 2 pointscale 2 background "white"
} else {
    set terminal svg size 520,400 noenhanced font "sans-serif,14" background "white"
}
set linetype 1 linecolor rgb "#0072b2"
set linetype 2 linecolor rgb "#d55e00"
set linetype 3 linecolor rgb "#009e73"
set linetype 4 linecolor rgb "#cc79a7"
set linetype 5 linecolor rgb "#e69f00"
set linetype 6 linecolor rgb "#56b4e9"
set linetype 7 linecolor rgb "#000000"
set linetype 8 linecolor rgb "#999999"
set linetype cycle 8
set grid linetype 1 linecolor rgb "#e4e4e4"
set border linecolor rgb "#555555"
set key below left Left reverse samplen 2 height 0.5
set logscale x 2
set autoscale xfix
set offsets graph 0.05, graph 0.08, graph 0.05, graph 0.08
set xlabel "relative compute (Best-of-120 = 1)"
set ylabel "improvement score (Best-of-120 = 100)"
$series1 << END
0.247851658 93.9574788 0.243643472 0.25198742 92.7986104 95.0068148 30
0.485705829 97.45297 0.481056928 0.490571761 96.782574 98.0942861 60
1 100 1 1 100 100 120
1.99838382 101.678314 1.97906047 2.01564021 101.135207 102.296387 240
END
$series2 << END
0.206943784 97.45297 0.203208989 0.210896309 96.782574 98.0942861 0.3
0.185356465 97.45297 0.181952367 0.188850446 96.782574 98.0942861 0.5
0.157521039 97.1669318 0.154285419 0.160800798 96.3446883 97.9119483 0.7
0.116696973 96.4883675 0.114690351 0.118844553 95.7950023 97.126457 0.9
END
$series3 << END
0.242462971 99.959961 0.238447695 0.246529517 99.8798829 100 0.3
0.207820791 99.9547593 0.203405544 0.212240076 99.8694796 100 0.5
0.182546854 99.3599967 0.178967982 0.186116941 98.8546934 99.7653943 0.7
0.139994016 94.4034792 0.136221711 0.143878639 93.1678654 95.6598649 0.9
END
set key bmargin left Left reverse vertical maxrows 3
plot $series1 using 1:2:3:4:5:6 with xyerrorbars linetype 1 pointtype 7 title 'Best-of-N, by N', \
     $series1 using 1:2 with lines linetype 1 notitle, \
     $series1 every 3::0 using 1:2:7 with labels offset 1.2,0.8 notitle, \
     $series1 every 3::1 using 1:2:7 with labels offset 1.4,-0.8 notitle, \
     $series1 every 3::2 using 1:2:7 with labels offset -1.4,0.8 notitle, \
     $series2 using 1:2:3:4:5:6 with xyerrorbars linetype 2 pointtype 5 title 'Speculative Rejection, N 60, by alpha', \
     $series2 every 3::0 using 1:2:7 with labels offset 1.2,0.8 notitle, \
     $series2 every 3::1 using 1:2:7 with labels offset 1.4,-0.8 notitle, \
     $series2 every 3::2 using 1:2:7 with labels offset -1.4,0.8 notitle, \
     $series3 using 1:2:3:4:5:6 with xyerrorbars linetype 3 pointtype 5 title 'Speculative Rejection, N 120, by alpha', \
     $series3 every 3::0 using 1:2:7 with labels offset 1.2,0.8 notitle, \
     $series3 every 3::1 using 1:2:7 with labels offset 1.4,-0.8 notitle, \
     $series3 every 3::2 using 1:2:7 with labels offset -1.4,0.8 notitle
